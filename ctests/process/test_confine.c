/* SPDX-License-Identifier: MIT
 *
 * What the filter of system calls refuses, under whichever name it is asked for, and that threads and processes can
 * still be made. Each in a process of its own, which the filter is never taken from. */
#include "process/privileges.h"

#include "core/clock.h"
#include "core/log.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { IS_CONFINED = false };
#else
enum { IS_CONFINED = true };
#endif

static int within(bool (*holds)(void)) {
  int status = -1;
  pid_t child = fork();
  if (child == 0) {
    struct clock clock = {.advanced_ns = 0};
    struct log log;
    log_init(&log, &clock, STDERR_FILENO);
    privileges_confine(&log);
    _exit(holds() ? 0 : 1);
  }
  assert_true(child > 0);
  assert_int_equal(waitpid(child, &status, 0), child);
  return status;
}

static bool is_refused(long result, int code) { return result == -1 && errno == code; }

static bool clones_no_namespace(void) {
  static const unsigned flags[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,   CLONE_NEWNET,
                                   CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP};
  for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
    errno = 0;
    long made = syscall(SYS_clone, flags[i] | (unsigned)SIGCHLD, NULL, NULL, NULL, NULL);
    if (made == 0)
      _exit(0);
    if (!is_refused(made, EPERM) || !is_refused(unshare((int)flags[i]), EPERM))
      return false;
  }
  uint64_t arguments[8] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
  long made = syscall(SYS_clone3, arguments, sizeof arguments);
  if (made == 0)
    _exit(0);
  return is_refused(made, ENOSYS);
}

/* EPERM, and not that what it was given is wrong. */
static bool passes_nothing_by(void) {
  static const long numbers[] = {SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register,
                                 SYS_ptrace,         SYS_execve,         SYS_bpf,
                                 SYS_clock_adjtime,  SYS_adjtimex};
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
    if (!is_refused(syscall(numbers[i], -1L, NULL, NULL, NULL, NULL, NULL), EPERM))
      return false;
  return true;
}

static void *set(void *flag) {
  *(bool *)flag = true;
  return NULL;
}

static bool makes_threads_and_processes(void) {
  pthread_t thread;
  bool ran = false;
  if (pthread_create(&thread, NULL, set, &ran) != 0 || pthread_join(thread, NULL) != 0 || !ran)
    return false;
  int status;
  pid_t child = fork();
  if (child == 0)
    _exit(7);
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7;
}

static void test_no_namespace_is_made_by_another_call(void **state) {
  (void)state;
  if (IS_CONFINED)
    assert_int_equal(within(clones_no_namespace), 0);
}

static void test_what_goes_past_a_filter_is_refused(void **state) {
  (void)state;
  if (IS_CONFINED)
    assert_int_equal(within(passes_nothing_by), 0);
}

static void test_threads_and_processes_are_made(void **state) {
  (void)state;
  assert_int_equal(within(makes_threads_and_processes), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_namespace_is_made_by_another_call),
      cmocka_unit_test(test_what_goes_past_a_filter_is_refused),
      cmocka_unit_test(test_threads_and_processes_are_made),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
