// Whether a short task that comes again and again takes less time in one thread or in several, found out by trying
// both: how long threads need to meet, and to read what the others wrote, differs from machine to machine and from hour
// to hour. For tasks whose results are the same either way.
#pragma once

#include <algorithm>
#include <chrono>

namespace gradiometer {

class ThreadChoice {
  public:
    // Calls task(threads) with 1 or `several`. What an exception ends is not counted.
    template <class Task>
    void run(int several, const Task& task) {
        if (several != several_) begin_trial(several);
        if (runs_ >= kTrial) {
            task(chosen_);
            if (++runs_ == kTrial + kRunsBetweenTrials) begin_trial(several);
            return;
        }
        // Blocks of one kind and of the other take turns. Their first halves bring the data to where the kind has them.
        const int kind = runs_ / kBlock % 2, pair = runs_ / (2 * kBlock), counted = runs_ % kBlock - kBlock / 2;
        const auto begin = std::chrono::steady_clock::now();
        task(kind ? several : 1);
        const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
        if (counted >= 0) times_[kind][pair * kBlock / 2 + counted] = time.count();
        if (++runs_ == kTrial) chosen_ = median(times_[1]) < kWorthwhile * median(times_[0]) ? several : 1;
    }

  private:
    void begin_trial(int several) {
        several_ = several;
        runs_ = 0;
    }

    static constexpr int kBlock = 16;
    static constexpr int kTrial = 4 * kBlock;
    static constexpr int kCounted = kTrial / 4;  // of each kind
    static constexpr int kRunsBetweenTrials = 10000;
    static constexpr double kWorthwhile = 0.98;  // what is hardly shorter is not worth other processors

    static double median(double (&times)[kCounted]) {
        std::nth_element(times, times + kCounted / 2, times + kCounted);
        return times[kCounted / 2];
    }

    int several_ = 0;  // the first run begins a trial
    int runs_ = 0;     // since the trial began
    int chosen_ = 1;
    double times_[2][kCounted];  // seconds, of one thread and of several
};

}  // namespace gradiometer
