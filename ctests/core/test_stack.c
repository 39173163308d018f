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
#include <string.h>
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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_first_thread_has_what_its_limit_says),
      cmocka_unit_test(a_thread_has_what_it_was_given),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
