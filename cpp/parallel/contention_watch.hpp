// Whether a task that comes again and again is better done in one thread than in several because other programs want
// the processors, too: a thread that the others wait for may then itself wait for its turn, some milliseconds at every
// meeting. Several threads are used until they wait for each other too long; then both ways are compared, now and
// again. For tasks whose results are the same either way.
#pragma once

#include <algorithm>
#include <chrono>

namespace gradiometer {

// The clock is a parameter for the sake of tests.
template <class Clock = std::chrono::steady_clock>
class ContentionWatch {
  public:
    // Calls task(threads) with `several` or 1; it returns what run_parallel does. What an exception ends does not
    // count.
    template <class Task>
    void run(int several, const Task& task) {
        if (several != several_) {
            *this = {};
            several_ = several;
        }
        const auto begin = Clock::now();
        const double waited = task(takes_one() ? 1 : several);
        const std::chrono::duration<double> time = Clock::now() - begin;
        note(time.count(), waited);
    }

  private:
    enum class Phase { together, alone, comparing };

    bool takes_one() const { return phase_ == Phase::alone || (phase_ == Phase::comparing && block_ % 2 == 1); }

    void note(double seconds, double waited) {
        elapsed_ += seconds;
        if (phase_ == Phase::comparing) return compare(seconds);
        if (phase_ == Phase::together) {
            held_up_ += kWeight * (waited / (several_ * seconds) - held_up_);
            if (held_up_ < kHeldUp || elapsed_ < kLongRuns * several_ * seconds) return;
        }
        if (elapsed_ < patience_) return;
        before_ = phase_;
        phase_ = Phase::comparing;
        elapsed_ = spent_ = 0;
        block_ = 0;
        for (Tally& tally : tallies_) tally = {};
    }

    // Blocks of both kinds take turns. Means are compared, for what other programs take comes in few large pieces.
    void compare(double seconds) {
        Tally& tally = tallies_[block_ % 2];
        tally.seconds += seconds;
        ++tally.runs;
        spent_ += seconds;
        if (elapsed_ < kBlock) return;
        elapsed_ = 0;
        if (++block_ == 1) return;
        const double together = tallies_[0].mean(), alone = tallies_[1].mean();
        const bool clear = std::max(together, alone) > kClear * std::min(together, alone);
        if (block_ < kBlocks && !clear) return;
        phase_ = alone < together ? Phase::alone : Phase::together;
        patience_ = phase_ == before_ ? std::min(2 * patience_, kMostPatience) : kPatience;
        patience_ = std::max(patience_, kWorth * spent_);
        held_up_ = 0;
    }

    // Of the threads' time, the share spent waiting from which on one thread could be as fast: of two threads, one of
    // which shares its processor with another program, the other waits half of the time.
    static constexpr double kHeldUp = 0.25;
    static constexpr double kWeight = 1.0 / 16;  // of one run in the mean over the last ones
    // Seconds. Blocks are longer than what the system gives a program at a time. Nothing is tried twice within the
    // patience, which grows while the outcome stays the same.
    static constexpr double kBlock = 0.025, kPatience = 0.5, kMostPatience = 16;
    static constexpr int kBlocks = 8;
    static constexpr double kClear = 3;  // times as long: then two blocks are enough
    // What comparisons may cost: the first comes after so many times what a run could take in one thread, the next
    // after so many times what the last one took.
    static constexpr double kLongRuns = 10, kWorth = 50;

    struct Tally {
        double seconds = 0;
        int runs = 0;
        double mean() const { return seconds / runs; }
    };

    int several_ = 0;
    Phase phase_ = Phase::together, before_ = Phase::together;
    double elapsed_ = 0;  // since the phase began, or the block
    double spent_ = 0;    // on the comparison
    double patience_ = kPatience;
    double held_up_ = 0;
    int block_ = 0;
    Tally tallies_[2];  // of several threads and of one
};

}  // namespace gradiometer
