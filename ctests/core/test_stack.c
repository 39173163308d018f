/* SPDX-License-Identifier: MIT
 *
 * core/stack.c: the first thread and others know how much is left, and one that calls itself until little is left
 * lives. */
#include "core/stack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum { FRAME = 4096, SMALL = 512 * 1024, DEEPEST = 4096 };

/* Calls itself until little more than the reserve is left; how often. */
static unsigned descend(unsigned depth) { /* NOLINT(misc-no-recursion) */
  volatile char frame[FRAME];
  memset((char *)frame, (int)depth, sizeof frame);
  size_t before = stack_left();
  if (before <= STACK_RESERVE || depth == DEEPEST) /* the first thread's may have no limit */
    return depth;
  unsigned reached = descend(depth + 1);
  return frame[depth % FRAME] == (char)depth ? reached : 0;
}

static void the_first_thread_has_what_its_limit_says(void **context) {
  (void)context;
  struct rlimit limit;
  assert_int_equal(0, getrlimit(RLIMIT_STACK, &limit));
  size_t left = stack_left();
  assert_true(left > STACK_RESERVE);
  if (limit.rlim_cur != RLIM_INFINITY)
    assert_true(left <= limit.rlim_cur);
  assert_true(descend(0) > 10);
}

static void *small_main(void *context) {
  size_t *seen = context;
  seen[0] = stack_left();
  seen[1] = descend(0);
  return NULL;
}

static void a_thread_has_what_it_was_given(void **context) {
  (void)context;
  pthread_t thread;
  pthread_attr_t attributes;
  size_t seen[2] = {0, 0};
  pthread_attr_init(&attributes);
  assert_int_equal(0, pthread_attr_setstacksize(&attributes, SMALL));
  assert_int_equal(0, pthread_create(&thread, &attributes, small_main, seen));
  pthread_join(thread, NULL);
  pthread_attr_destroy(&attributes);
  assert_true(seen[0] > SMALL / 2 && seen[0] < SMALL);
  assert_true(seen[1] > 10 && seen[1] < (SMALL - STACK_RESERVE) / FRAME);
}

/* Of the pages of the stack between here and what `bottom` says, how many are in memory. */
static size_t resident_below(const char *here, const char *bottom) {
  static unsigned char pages[STACK_SIZE / 4096];
  uintptr_t from = (uintptr_t)bottom / 4096 * 4096, to = (uintptr_t)here / 4096 * 4096;
  size_t count = (to - from) / 4096, resident = 0;
  assert_int_equal(0, mincore((void *)from, to - from, pages)); /* NOLINT(performance-no-int-to-ptr) */
  for (size_t i = 0; i < count; i++)
    resident += pages[i] & 1;
  return resident;
}

static const char *lowest;

static void descend_until_low(void) { /* NOLINT(misc-no-recursion) */
  volatile char frame[FRAME];
  memset((char *)frame, 1, sizeof frame);
  lowest = __builtin_frame_address(0);
  if (!stack_is_low())
    descend_until_low();
  frame[0] = 2;
}

static void *large_main(void *context) {
  bool *fine = context;
  sigset_t blocked;
  pthread_sigmask(SIG_SETMASK, NULL, &blocked);
  fine[0] = sigismember(&blocked, SIGTERM) == 1;
  fine[1] = stack_left() > STACK_SIZE / 2 && !stack_is_low();
  descend_until_low();
  const char *here = __builtin_frame_address(0);
  fine[2] = resident_below(here, lowest) > STACK_SIZE / 2 / 4096;
  stack_trim();
  fine[3] = resident_below(here, lowest) < 1024;
  fine[4] = !stack_is_low();
  return NULL;
}

static void a_thread_for_lua_has_much_and_gives_back_what_it_used(void **context) {
  (void)context;
  pthread_t thread;
  bool fine[5] = {false};
  assert_int_equal(0, stack_start_thread(&thread, large_main, fine));
  pthread_join(thread, NULL);
  for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++)
    if (!fine[i])
      fail_msg("%zu is not so", i);
}

static void the_first_threads_may_grow(void **context) {
  (void)context;
  struct rlimit limit;
  stack_widen();
  assert_int_equal(0, getrlimit(RLIMIT_STACK, &limit));
  assert_true(limit.rlim_cur >= STACK_SIZE || limit.rlim_cur == limit.rlim_max);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_first_thread_has_what_its_limit_says),
      cmocka_unit_test(a_thread_has_what_it_was_given),
      cmocka_unit_test(a_thread_for_lua_has_much_and_gives_back_what_it_used),
      cmocka_unit_test(the_first_threads_may_grow),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
