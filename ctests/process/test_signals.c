/* SPDX-License-Identifier: MIT
 *
 * Signals as a process sees them that is told to end, in children of the test: each has to be gone in its time, though
 * the thread that is told does nothing of the kind. */
#include "process/signals.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FOREVER_S = 60, SLACK_MS = 2000 };

struct child {
  struct clock clock;
  struct loop loop;
  struct log log;
  struct signals *signals;
  int out;
  bool hangs; /* in the first callback */
};

static void say(const struct child *child, char what) { assert_int_equal(write(child->out, &what, 1), 1); }

static void on_end(void *context) {
  struct child *child = context;
  say(child, 'e');
  if (child->hangs)
    sleep(FOREVER_S);
}

static void on_other(void *context, int number) {
  struct child *child = context;
  say(child, number == SIGHUP ? 'h' : number == SIGUSR1 ? '1' : '2');
}

static void on_early_end(void *context) { say(context, 'b'); }

static const struct signal_callbacks callbacks = {on_end, on_other, on_early_end};

/* Never returns. */
static void run_child(int out, bool hangs, bool is_ready, uint64_t patience_ms) {
  struct child child = {.out = out, .hangs = hangs};
  struct error error;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGALRM, SIG_IGN); /* as who starts it may have left it */
  signal(SIGHUP, SIG_IGN);  /* nohup */
  signals_hold();
  for (const int *early = (int[]){SIGHUP, SIGUSR1, SIGUSR2, 0}; is_ready && *early; early++)
    kill(getpid(), *early);
  loop_init(&child.loop, &child.clock, &child);
  log_init(&child.log, &child.clock, STDERR_FILENO);
  child.log.level = LOG_OFF;
  child.signals = signals_new(&child.loop, &child.log, NULL, &callbacks, &child, patience_ms, &error);
  if (is_ready)
    signals_set_ready(child.signals);
  say(&child, child.signals ? 'r' : 'x');
  loop_run(&child.loop);
  _exit(3);
}

struct started {
  pid_t pid;
  int in;
};

static char hear(const struct started *started) {
  char what = '-';
  return read(started->in, &what, 1) == 1 ? what : '-';
}

static struct started start_child(bool hangs, bool is_ready, uint64_t patience_ms) {
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0)
    run_child(ends[1], hangs, is_ready, patience_ms);
  close(ends[1]);
  struct started started = {pid, ends[0]};
  assert_int_equal(hear(&started), 'r');
  return started;
}

/* What came before it could be told is told first. */
static struct started start(bool hangs, uint64_t patience_ms) {
  struct started started = start_child(hangs, true, patience_ms);
  char early[4] = "";
  for (int i = 0; i < 3; i++)
    early[i] = hear(&started);
  assert_true(strchr(early, 'h') && strchr(early, '1') && strchr(early, '2'));
  return started;
}

/* Until it has ended: ms, and its exit status. */
static uint64_t await(struct started started, int *status) {
  struct clock clock = {0};
  clock_ms began = clock_now(&clock);
  assert_int_equal(waitpid(started.pid, status, 0), started.pid);
  assert_true(WIFEXITED(*status));
  *status = WEXITSTATUS(*status);
  close(started.in);
  return clock_now(&clock) - began;
}

static void test_the_end_comes_though_who_is_told_hangs(void **state) {
  (void)state;
  static const int signals[] = {SIGTERM, SIGINT, SIGQUIT, SIGPWR};
  for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
    int status;
    struct started started = start(true, 100);
    kill(started.pid, signals[i]);
    assert_int_equal(hear(&started), 'e');
    uint64_t ms = await(started, &status);
    assert_int_equal(status, 1);
    assert_in_range(ms, 1000, 100 + SIGNALS_END_MS + SLACK_MS);
  }
}

static void test_a_second_signal_hurries_and_a_third_ends(void **state) {
  (void)state;
  int status;
  struct started started = start(true, 60000);
  kill(started.pid, SIGTERM);
  assert_int_equal(hear(&started), 'e');
  kill(started.pid, SIGTERM);
  assert_in_range(await(started, &status), 0, SIGNALS_HURRY_MS + SLACK_MS);
  assert_int_equal(status, 1);
  started = start(true, 60000);
  kill(started.pid, SIGTERM);
  assert_int_equal(hear(&started), 'e');
  kill(started.pid, SIGINT);
  usleep(100 * 1000);
  kill(started.pid, SIGQUIT);
  assert_in_range(await(started, &status), 0, SIGNALS_HURRY_MS - 300);
}

static void test_each_signal_is_told(void **state) {
  (void)state;
  int status;
  struct started started = start(false, 60000);
  kill(started.pid, SIGHUP);
  assert_int_equal(hear(&started), 'h');
  kill(started.pid, SIGUSR1);
  assert_int_equal(hear(&started), '1');
  kill(started.pid, SIGUSR2);
  assert_int_equal(hear(&started), '2');
  kill(started.pid, SIGTERM);
  assert_int_equal(hear(&started), 'e');
  kill(started.pid, SIGTERM);
  assert_int_equal(hear(&started), 'e');
  kill(started.pid, SIGTERM);
  await(started, &status);
  assert_int_equal(status, 1);
}

static void test_before_it_is_ready_a_signal_ends_it_as_any_program(void **state) {
  (void)state;
  int status;
  struct started started = start_child(false, false, 60000);
  kill(started.pid, SIGTERM);
  assert_int_equal(hear(&started), 'b');
  assert_int_equal(waitpid(started.pid, &status, 0), started.pid);
  assert_true(WIFSIGNALED(status));
  assert_int_equal(WTERMSIG(status), SIGTERM);
  close(started.in);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_end_comes_though_who_is_told_hangs),
      cmocka_unit_test(test_a_second_signal_hurries_and_a_third_ends),
      cmocka_unit_test(test_each_signal_is_told),
      cmocka_unit_test(test_before_it_is_ready_a_signal_ends_it_as_any_program),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
