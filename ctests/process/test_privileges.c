/* SPDX-License-Identifier: MIT
 *
 * What a thread keeps of capabilities, and that none runs that could not give the others up. Each in a process of its
 * own, which a filter of system calls is never taken from. */
#include "process/privileges.h"

#include <errno.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const struct account dropped_to = {.name = "somebody", .is_set = true};

static void assert_holds(bool (*holds)(void)) {
  int status = -1;
  pid_t child = fork();
  if (child == 0)
    _exit(holds() ? 0 : 1);
  assert_true(child > 0);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
}

static void *note_held(void *held) {
  cap_t now = cap_get_proc();
  for (cap_value_t cap = 0; cap <= CAP_LAST_CAP; cap++) {
    cap_flag_value_t has = CAP_CLEAR;
    if (cap_get_flag(now, cap, CAP_PERMITTED, &has) == 0 && has == CAP_SET)
      *(uint64_t *)held |= UINT64_C(1) << cap;
  }
  cap_free(now);
  return NULL;
}

/* UINT64_MAX: it was not started. */
static uint64_t held_by_thread(const struct account *account, bool binds, struct error *error) {
  pthread_t thread;
  uint64_t held = 0;
  if (privileges_start_thread(account, binds, "test", &thread, note_held, &held, error) != 0)
    return held == 0 ? UINT64_MAX : held;
  pthread_join(thread, NULL);
  return held;
}

static bool keeps_ports_alone(void) {
  struct error error;
  uint64_t own = 0, ports = UINT64_C(1) << CAP_NET_BIND_SERVICE;
  note_held(&own);
  return held_by_thread(&dropped_to, true, &error) == (own & ports) &&
         held_by_thread(&dropped_to, false, &error) == 0 && held_by_thread(NULL, false, &error) == own;
}

static bool refuse_capset(void) {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  return filter && seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(capset), 0) == 0 &&
         seccomp_load(filter) == 0;
}

static bool is_not_started(void) {
  struct error error = {.code = 0};
  return refuse_capset() && held_by_thread(&dropped_to, true, &error) == UINT64_MAX && error.code == EPERM &&
         strcmp(error.message, "the test thread can't give up its capabilities: Operation not permitted") == 0;
}

static bool keeps_who_it_is(void) {
  const struct account account = {.is_set = false};
  struct error error;
  return refuse_capset() && held_by_thread(&account, true, &error) != UINT64_MAX;
}

static void test_a_thread_keeps_ports_at_most(void **state) {
  (void)state;
  assert_holds(keeps_ports_alone);
}

static void test_a_thread_that_keeps_more_does_not_run(void **state) {
  (void)state;
  assert_holds(is_not_started);
}

static void test_without_an_account_nothing_is_given_up(void **state) {
  (void)state;
  assert_holds(keeps_who_it_is);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_thread_keeps_ports_at_most),
      cmocka_unit_test(test_a_thread_that_keeps_more_does_not_run),
      cmocka_unit_test(test_without_an_account_nothing_is_given_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
