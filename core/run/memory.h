// How much memory one run takes at its peak, whatever else the process does or has done: runs beside it, runs before it. Sees torch.
#pragma once

#include <cstdint>
#include <memory>

namespace permille {

class Seq2Seq;

// From its making on, of the work on the thread that made it and of backward passes from there.
class MemoryMark {
public:
    MemoryMark();
    ~MemoryMark();
    MemoryMark(const MemoryMark&) = delete;
    MemoryMark& operator=(const MemoryMark&) = delete;

    // A base that the run works with and that others may share.
    void add_base(const Seq2Seq& base);
    // In bytes. On the CPU what a process with this run alone takes: the program as it was before the first run, the bases' weights, and
    // the tensors that were made; on another device the weights and the tensors there.
    std::int64_t peak() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

// While it lives, what is made on this thread belongs to no run: a base that is opened for all.
class SharedMemory {
public:
    SharedMemory();
    ~SharedMemory();
    SharedMemory(const SharedMemory&) = delete;
    SharedMemory& operator=(const SharedMemory&) = delete;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace permille
