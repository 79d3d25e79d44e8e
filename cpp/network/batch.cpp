#include "network/batch.hpp"

namespace gradiometer {

std::vector<Index> batch_ends(Index count, Index batch_size, bool has_batch_norm) {
    std::vector<Index> ends;
    for (Index end = batch_size; end < count; end += batch_size) ends.push_back(end);
    if (has_batch_norm && !ends.empty() && count - ends.back() == 1) ends.pop_back();
    ends.push_back(count);
    return ends;
}

}  // namespace gradiometer
