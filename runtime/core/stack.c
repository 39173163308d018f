/* SPDX-License-Identifier: MIT
 *
 * Where a thread's stack ends is asked once, since the C library reads it from /proc for the first thread, and kept in
 * the thread. */
#include "core/stack.h"

#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
  STACK_ASSUMED = 1024 * 1024, /* for a thread whose stack nobody can tell (no /proc), from where it asked first */
  STACK_LOW = 16 * 1024 * 1024,
  STACK_KEPT = 1024 * 1024, /* touched memory that is not worth giving back */
  STACK_IN_USE = 64 * 1024, /* by who gives it back */
};

static _Thread_local struct {
  uintptr_t end; /* 0: not asked yet */
  uintptr_t low, deepest;
} bounds;

static void find_bounds(uintptr_t here) {
  pthread_attr_t attributes;
  void *lowest = NULL;
  size_t size = 0, guard = 0;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) {
    size = STACK_ASSUMED;
    lowest = (void *)(here > size ? here - size : 1); /* NOLINT(performance-no-int-to-ptr) */
  } else {
    pthread_attr_getstack(&attributes, &lowest, &size);
    pthread_attr_getguardsize(&attributes, &guard);
    pthread_attr_destroy(&attributes);
  }
  bounds.end = (uintptr_t)lowest + guard;
  bounds.low = bounds.end + (size / 4 < STACK_LOW ? size / 4 : STACK_LOW);
  bounds.deepest = here;
}

size_t stack_left(void) {
  uintptr_t here = (uintptr_t)__builtin_frame_address(0);
  if (bounds.end == 0)
    find_bounds(here);
  return here > bounds.end ? here - bounds.end : 0;
}

bool stack_is_low(void) {
  uintptr_t here = (uintptr_t)__builtin_frame_address(0);
  if (bounds.end == 0)
    find_bounds(here);
  if (here < bounds.deepest)
    bounds.deepest = here;
  return here < bounds.low;
}

void stack_trim(void) {
  uintptr_t here = (uintptr_t)__builtin_frame_address(0);
  if (bounds.end == 0 || here < bounds.deepest + STACK_KEPT)
    return;
  /* Below the deepest place seen there is what was nested since it was looked. */
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), top = (here - STACK_IN_USE) / page * page;
  uintptr_t seen = bounds.deepest - STACK_KEPT, bottom = (seen > bounds.end ? seen : bounds.end) / page * page + page;
  madvise((void *)bottom, top - bottom, MADV_DONTNEED); /* NOLINT(performance-no-int-to-ptr) */
  bounds.deepest = here;
}

int stack_start_thread(pthread_t *thread, void *(*run)(void *argument), void *argument) {
  pthread_attr_t attributes;
  sigset_t all, before;
  int status = pthread_attr_init(&attributes);
  if (status != 0)
    return status;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  status = pthread_attr_setstacksize(&attributes, STACK_SIZE);
  if (status == 0)
    status = pthread_create(thread, &attributes, run, argument);
  if (status != 0)
    status = pthread_create(thread, NULL, run, argument);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return status;
}

void stack_widen(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur >= STACK_SIZE)
    return;
  limit.rlim_cur = limit.rlim_max < STACK_SIZE ? limit.rlim_max : STACK_SIZE;
  setrlimit(RLIMIT_STACK, &limit);
}
