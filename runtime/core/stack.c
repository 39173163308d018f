/* SPDX-License-Identifier: MIT
 *
 * Where a thread's stack ends is asked once, since the C library reads it from /proc for the first thread, and kept in
 * the thread. */
#include "core/stack.h"

#include <pthread.h>
#include <stdint.h>

/* For a thread whose stack nobody can tell (no /proc): this much from where it asked first. */
enum { STACK_ASSUMED = 1024 * 1024 };

static _Thread_local uintptr_t stack_end;

static uintptr_t find_end(uintptr_t here) {
  pthread_attr_t attributes;
  void *lowest = NULL;
  size_t size = 0, guard = 0;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0)
    return here > STACK_ASSUMED ? here - STACK_ASSUMED : 1;
  pthread_attr_getstack(&attributes, &lowest, &size);
  pthread_attr_getguardsize(&attributes, &guard);
  pthread_attr_destroy(&attributes);
  return (uintptr_t)lowest + guard;
}

size_t stack_left(void) {
  uintptr_t here = (uintptr_t)__builtin_frame_address(0);
  if (stack_end == 0)
    stack_end = find_end(here);
  return here > stack_end ? here - stack_end : 0;
}
