//! Memory that large buffers took goes back to the system when they are freed.
//!
//! glibc raises, by itself, the size from which a buffer is mapped alone, up to 32 MiB: buffers of chunks,
//! flushes and files then share heaps, one or more a thread, and leave holes that are never given back; a third of
//! the peak of a run was such holes. Held at 192 KiB the peak is nearly what is in use. At 64 KiB a run of 20 M rows into
//! Parquet takes 4 MiB less, and a fifth more time: the columns of a flush are then mapped one by one, and cleared.
//! Small buffers (partials, rows of windows) go from thread to thread, and each heap keeps what the others freed in it: few
//! heaps for all threads hold a tenth less at the peak than one a thread. With two of them four threads waited for each
//! other in the allocator; with three the same runs take a tenth less time and 2 MiB more.
//! These are the process's settings from its first run into stores on. They cost windows in memory, whose tables are kept,
//! a third of their time, and a topic read into them a fifth (what the client unpacks is mapped and given back each time,
//! and its thread and ours wait for each other's heap), so neither `windows` nor a pipeline with tables in memory alone
//! asks for them.

/// Once for the process.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn give_back() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // SAFETY: sets one number under the allocator's own lock.
        unsafe { libc::mallopt(libc::M_TRIM_THRESHOLD, 128 << 10) };
        // SAFETY: the same.
        unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, 192 << 10) };
        // SAFETY: the same.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, 3) };
    });
}

/// Other allocators give back by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn give_back() {}
