// A library about vanishing gradients must not flush subnormal numbers to zero, also where a program has told its
// thread to (as torch.set_flush_denormal does).
#pragma once

#include <cstdint>
#include <utility>

namespace gradiometer {

// While it lives, the thread's arithmetic keeps subnormal numbers; afterwards its mode is what it was.
class GradualUnderflow {
  public:
    GradualUnderflow() : outer_(std::exchange(innermost_, this)) { enter(); }
    ~GradualUnderflow() {
        leave();
        innermost_ = outer_;
    }
    GradualUnderflow(const GradualUnderflow&) = delete;
    GradualUnderflow& operator=(const GradualUnderflow&) = delete;

    // For functions of the program that are called meanwhile: they find its mode, and may change it.
    class Paused {
      public:
        Paused() : paused_(innermost_) {
            if (paused_) paused_->leave();
        }
        ~Paused() {
            if (paused_) paused_->enter();
        }
        Paused(const Paused&) = delete;
        Paused& operator=(const Paused&) = delete;

      private:
        GradualUnderflow* const paused_;
    };

  private:
#if defined(__x86_64__)
    using Mode = uint32_t;
    static constexpr Mode kFlush = 0x8040;  // of MXCSR: results to zero, operands to zero
    static Mode mode() { return __builtin_ia32_stmxcsr(); }
    static void set_mode(Mode mode) { __builtin_ia32_ldmxcsr(mode); }
#elif defined(__aarch64__)
    using Mode = uint64_t;
    static constexpr Mode kFlush = (Mode{1} << 24) | 1;  // of FPCR: results and operands, operands alone
    static Mode mode() {
        Mode mode;
        __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
        return mode;
    }
    static void set_mode(Mode mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
#else
    using Mode = uint32_t;
    static constexpr Mode kFlush = 0;
    static Mode mode() { return 0; }
    static void set_mode(Mode) {}
#endif

    void enter() {
        flushing_ = mode() & kFlush;
        if (flushing_) set_mode(mode() & ~kFlush);
    }
    void leave() {
        if (flushing_) set_mode(mode() | flushing_);
    }

    GradualUnderflow* const outer_;
    Mode flushing_ = 0;  // what the program had set
    static inline thread_local GradualUnderflow* innermost_ = nullptr;
};

}  // namespace gradiometer
