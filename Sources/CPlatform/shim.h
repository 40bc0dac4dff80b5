// What Swift's Glibc module cannot express: instructions without a Swift spelling, variadic calls, and
// constants and calls that glibc declares only under _GNU_SOURCE, which that module is built without.

#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

/// Asks the processor to fetch the cache line at `address`. Never faults, reads nothing.
static inline void tollgate_prefetch(const void *address) { __builtin_prefetch(address, 0, 3); }

/// The same for a line that will be written: it is taken from whichever core has it. Processors that do not know the
/// instruction take it for none.
static inline void tollgate_prefetch_write(const void *address) {
#if defined(__x86_64__)
    // The compiler's own prefetch for writing is one for reading where it may not assume more than any x86-64.
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)address));
#else
    __builtin_prefetch(address, 1, 3);
#endif
}

// Tables.

/// The word at `address`, which others may be writing.
static inline uint64_t tollgate_peek64(uintptr_t address) {
    return __atomic_load_n((const uint64_t *)address, __ATOMIC_RELAXED);
}

/// Which of the 16 words at `line` equal `wanted` in the bits of `mask`: bit i for word i. Two to three
/// nanoseconds; SSE2 is part of every x86-64.
static inline uint32_t tollgate_match16(const uint32_t *line, uint32_t mask, uint32_t wanted) {
#if defined(__x86_64__)
    const __m128i *words = (const __m128i *)line;
    __m128i masks = _mm_set1_epi32((int)mask);
    __m128i sought = _mm_set1_epi32((int)wanted);
    __m128i first = _mm_cmpeq_epi32(_mm_and_si128(_mm_loadu_si128(words), masks), sought);
    __m128i second = _mm_cmpeq_epi32(_mm_and_si128(_mm_loadu_si128(words + 1), masks), sought);
    __m128i third = _mm_cmpeq_epi32(_mm_and_si128(_mm_loadu_si128(words + 2), masks), sought);
    __m128i fourth = _mm_cmpeq_epi32(_mm_and_si128(_mm_loadu_si128(words + 3), masks), sought);
    __m128i halves = _mm_packs_epi16(_mm_packs_epi32(first, second), _mm_packs_epi32(third, fourth));
    return (uint32_t)_mm_movemask_epi8(halves);
#else
    uint32_t matches = 0;
    for (int word = 0; word < 16; word += 1) matches |= (uint32_t)((line[word] & mask) == wanted) << word;
    return matches;
#endif
}

// Checksums.

/// Whether the processor has the CRC32 instruction (CPUID leaf 1, ECX bit 20).
static inline int tollgate_has_crc32c(void) {
#if defined(__x86_64__)
    unsigned int eax = 0, ebx = 0, ecx = 0, edx = 0;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & (1u << 20)) != 0;
#else
    return 0;
#endif
}

#if defined(__x86_64__)
/// The CRC register (already inverted) after `count` more bytes, by the instruction; 8 bytes a step.
__attribute__((target("sse4.2")))
static inline uint32_t tollgate_crc32c(uint32_t crc, const void *bytes, size_t count) {
    const unsigned char *next = (const unsigned char *)bytes;
    uint64_t state = crc;
    while (count >= 8) {
        uint64_t word;
        memcpy(&word, next, 8);
        state = _mm_crc32_u64(state, word);
        next += 8;
        count -= 8;
    }
    while (count > 0) {
        state = _mm_crc32_u8((uint32_t)state, *next);
        next += 1;
        count -= 1;
    }
    return (uint32_t)state;
}
#else
/// Never called where `tollgate_has_crc32c` answers no.
static inline uint32_t tollgate_crc32c(uint32_t crc, const void *bytes, size_t count) {
    (void)bytes;
    (void)count;
    return crc;
}
#endif

// Files. The values are the kernel's; O_DIRECT differs between architectures.

#if defined(__aarch64__)
static const int tollgate_o_direct = 0200000;
#else
static const int tollgate_o_direct = 040000;
#endif

/// fallocate(2): reserves blocks and sets the size. The syscall, since the declaration needs _GNU_SOURCE.
static inline int tollgate_fallocate(int descriptor, int64_t offset, int64_t bytes) {
    return (int)syscall(SYS_fallocate, descriptor, 0, offset, bytes);
}

/// sync_file_range(2) of the whole file with SYNC_FILE_RANGE_WRITE: what is dirty begins to be written to the disk, and
/// nothing is waited for. The syscall, since the declaration needs _GNU_SOURCE.
static inline int tollgate_begin_write_out(int descriptor) {
    return (int)syscall(SYS_sync_file_range, descriptor, (int64_t)0, (int64_t)0, 2);
}

/// Raises the limit of open files (RLIMIT_NOFILE, getrlimit(2)) as far as the process may; returns it, or -1.
static inline int64_t tollgate_raise_open_files(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return -1;
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = {limit.rlim_max, limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
    }
    return limit.rlim_cur > INT32_MAX ? INT32_MAX : (int64_t)limit.rlim_cur;
}

// Chance.

/// getrandom(2) with flags 0, whose declaration Swift's module lacks.
static inline ssize_t tollgate_getrandom(void *bytes, size_t count) {
    return syscall(SYS_getrandom, bytes, count, 0);
}

// Threads.

static const int tollgate_sched_idle = 5;

/// Changes the niceness of the calling thread alone: setpriority(2) takes a kernel thread id.
static inline int tollgate_renice_thread(int niceness) {
    return setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), niceness);
}

/// struct sched_attr of sched_setattr(2), which the C library lacks; the size of its first version.
struct tollgate_sched_attr {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

/// Makes the calling thread an ordinary one of that niceness that asks for the processor in slices of `slice_ns`
/// (100 000 to 100 000 000): since Linux 6.12 that is how long others may have to wait for it; older ones ignore it.
static inline int tollgate_slice_thread(int niceness, uint64_t slice_ns) {
    struct tollgate_sched_attr attributes = {48, 0, 0, niceness, 0, slice_ns, 0, 0};
    return (int)syscall(SYS_sched_setattr, 0, &attributes, 0);
}

/// Names the calling thread for `ps` and `top`; the kernel keeps 15 bytes.
static inline int tollgate_name_thread(const char *name) { return prctl(PR_SET_NAME, name, 0, 0, 0); }

/// Sleeps while `*word == expected`, at most `timeout_ns` (negative: for ever). It may return early.
static inline void tollgate_futex_wait(const void *word, uint32_t expected, int64_t timeout_ns) {
    struct timespec timeout;
    timeout.tv_sec = timeout_ns / 1000000000;
    timeout.tv_nsec = timeout_ns % 1000000000;
    const struct timespec *limit = timeout_ns < 0 ? (const struct timespec *)0 : &timeout;
    // 128 is FUTEX_WAIT | FUTEX_PRIVATE_FLAG.
    (void)syscall(SYS_futex, word, 128, expected, limit, (void *)0, 0);
}

/// Wakes one thread that sleeps on `word`.
static inline void tollgate_futex_wake(const void *word) {
    // 129 is FUTEX_WAKE | FUTEX_PRIVATE_FLAG.
    (void)syscall(SYS_futex, word, 129, 1, (void *)0, (void *)0, 0);
}

/// The C library's allocator settings; malloc.h is hidden by the module of the C library. The numbers
/// are M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h, part of its binary interface.
extern int mallopt(int parameter, int value);

static inline int tollgate_keep_freed_memory(int trim_threshold, int mmap_threshold) {
    return mallopt(-1, trim_threshold) & mallopt(-3, mmap_threshold);
}
