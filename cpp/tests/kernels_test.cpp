// Every kernel of every instruction set that this machine has, at every tail, against plain loops; and the bits of the
// instruction sets with FMA against each other. Prints a line a subject; the hash is for comparing machines.
#include <map>

#include "check.hpp"

namespace gradiometer::test {
namespace {

template <class T>
struct Subject {
    const char* name;
    void (*run)(const KernelTable<T>&, Report&);
};

template <class T>
bool try_all() {
    const Subject<T> subjects[] = {
        {"matmul", try_matmul<T>},         {"panels", try_panels<T>},         {"activations", try_activations<T>},
        {"dropout", try_dropout<T>},       {"batch norm", try_batch_norm<T>}, {"losses", try_losses<T>},
        {"statistics", try_statistics<T>}, {"updates", try_updates<T>},       {"layer norm", try_layer_norm<T>},
        {"residual", try_residual<T>},     {"tiny numbers", try_tiny<T>},     {"tiny updates", try_tiny_updates<T>},
    };
    bool good = true;
    std::map<std::string, std::pair<std::string, uint64_t>> fused_bits;
    for (const std::string& isa : available_isas()) {
        const KernelTable<T>& table = kernels_of<T>(isa);
        good = good && isa == table.isa;
        for (const Subject<T>& subject : subjects) {
            Report report;
            subject.run(table, report);
            std::printf("%-8s %-6s %-11s %8d checks, %d failures, bits %016llx\n", table.isa,
                        sizeof(T) == 4 ? "float" : "double", subject.name, report.checks, report.failures,
                        static_cast<unsigned long long>(report.bits));
            good = good && report.checks > 0 && report.failures == 0;
            if (isa == "baseline") continue;
            const auto [first, is_new] = fused_bits.try_emplace(subject.name, isa, report.bits);
            if (first->second.second != report.bits) {
                std::fprintf(stderr, "    %s and %s differ in their bits\n", first->second.first.c_str(), table.isa);
                good = false;
            }
        }
    }
    return good;
}

}  // namespace
}  // namespace gradiometer::test

int main() {
    const bool floats = gradiometer::test::try_all<float>();
    const bool doubles = gradiometer::test::try_all<double>();
    return floats && doubles ? 0 : 1;
}
