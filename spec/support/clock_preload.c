/* SPDX-License-Identifier: MIT
 *
 * A clock that specs move, for a real moongate: loaded into it by the loader (LD_PRELOAD), it adds to what the kernel
 * says the nanoseconds that stand in a file (MOONGATE_SPEC_CLOCK), a number in the machine's own order. Timers that are
 * armed already stay as they are: who moves the clock wakes the threads. */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { NS_PER_SECOND = 1000000000 };

static _Atomic int64_t *moved;

__attribute__((constructor)) static void map_file(void) {
  const char *path = getenv("MOONGATE_SPEC_CLOCK");
  int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0)
    return;
  void *page = mmap(NULL, sizeof *moved, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  moved = page != MAP_FAILED ? page : NULL;
}

static int64_t moved_by(clockid_t id) {
  bool is_moved = id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE || id == CLOCK_REALTIME;
  return is_moved && moved ? atomic_load(moved) : 0;
}

static void add(struct timespec *time, int64_t ns) {
  ns += time->tv_nsec;
  time->tv_sec += ns / NS_PER_SECOND;
  time->tv_nsec = ns % NS_PER_SECOND;
  if (time->tv_nsec < 0) {
    time->tv_sec--;
    time->tv_nsec += NS_PER_SECOND;
  }
}

/* The kernel is asked itself: what stands behind us in the order of the loader may be a sanitizer's. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): theirs are reserved */
int clock_gettime(clockid_t id, struct timespec *time) {
  if (syscall(SYS_clock_gettime, id, time) != 0)
    return -1;
  add(time, moved_by(id));
  return 0;
}

/* Times are the caller's; the kernel's clock is not moved. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): theirs are reserved */
int timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *before) {
  struct itimerspec kernels = *when;
  int64_t ns = moved_by(CLOCK_MONOTONIC);
  if (flags & TFD_TIMER_ABSTIME && ns > 0 && (when->it_value.tv_sec || when->it_value.tv_nsec)) {
    add(&kernels.it_value, -ns);
    if (kernels.it_value.tv_sec < 0)
      kernels.it_value = (struct timespec){.tv_nsec = 1}; /* 0 would disarm it */
  }
  return (int)syscall(SYS_timerfd_settime, fd, flags, &kernels, before);
}
