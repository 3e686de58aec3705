// Work handed out in numbered pieces to several threads and collected by one, in number order, so that
// what is done with the results does not depend on how many threads made them.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <limits>
#include <map>
#include <mutex>
#include <optional>

namespace faultline::harness {

template <class T>
class OrderedQueue {
public:
    /// Pieces 0 … pieces-1; no thread runs more than `window` pieces ahead of the collector.
    explicit OrderedQueue(std::uint64_t pieces, std::uint64_t window) : pieces_(pieces), window_(window) {}

    /// The next piece to work on; nothing once all are handed out or close() was called.
    std::optional<std::uint64_t> claim() {
        std::unique_lock lock(mutex_);
        room_.wait(lock, [&] { return next_ >= pieces_ || next_ < taken_ + window_; });
        if (next_ >= pieces_) return std::nullopt;
        return next_++;
    }
    /// Every claimed piece must be delivered exactly once.
    void deliver(std::uint64_t piece, T result) {
        {
            std::lock_guard lock(mutex_);
            ready_.emplace(piece, std::move(result));
        }
        delivered_.notify_one();
    }
    enum class Take { Taken, Nothing, Finished };
    /// The next result in order, waiting for it up to `patience`.
    Take take(T& result, std::chrono::milliseconds patience) {
        std::unique_lock lock(mutex_);
        const auto here = [&] { return taken_ >= pieces_ || (!ready_.empty() && ready_.begin()->first == taken_); };
        if (!delivered_.wait_for(lock, patience, here)) return Take::Nothing;
        if (taken_ >= pieces_) return Take::Finished;
        result = std::move(ready_.begin()->second);
        ready_.erase(ready_.begin());
        ++taken_;
        lock.unlock();
        room_.notify_all();
        return Take::Taken;
    }
    /// Hands out nothing more; what is claimed is still collected.
    void close() {
        {
            std::lock_guard lock(mutex_);
            pieces_ = std::min(pieces_, next_);
        }
        room_.notify_all();
        delivered_.notify_one();
    }

    static constexpr std::uint64_t endless = std::numeric_limits<std::uint64_t>::max();

private:
    std::mutex mutex_;
    std::condition_variable room_, delivered_;
    std::uint64_t pieces_, window_, next_ = 0, taken_ = 0;
    std::map<std::uint64_t, T> ready_;
};

}  // namespace faultline::harness
