/* SPDX-License-Identifier: MIT
 *
 * Printing to a pipe that is read, slowly or not at all. */
#include "core/printer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LARGE = 1024 * 1024 };

static char text[LARGE];

static void what_nobody_reads_is_lost_and_counted(void **state) {
  (void)state;
  int ends[2];
  struct printer printer;
  assert_int_equal(0, pipe(ends)); /* blocking ends, as a shell makes them */
  printer_init(&printer, ends[1], 0);
  assert_int_not_equal(ends[1], printer.fd);
  assert_int_equal(0, fcntl(ends[1], F_GETFL) & O_NONBLOCK); /* that of others stays as it is */
  assert_true(printer_write(&printer, "first\n", 6));
  assert_false(printer_write(&printer, text, LARGE));
  for (int i = 0; i < 1000; i++)
    assert_false(printer_write(&printer, "x\n", 2));
  assert_int_equal(1001, printer.lost);
  printer_deinit(&printer, ends[1]);
  close(ends[0]);
  close(ends[1]);
}

/* As a pipe of another user's, which can't be opened again. */
static void nor_is_it_waited_for_where_no_description_of_our_own_can_be_had(void **state) {
  (void)state;
  int ends[2];
  struct printer printer;
  struct rlimit limit, none;
  assert_int_equal(0, pipe(ends));
  assert_int_equal(0, getrlimit(RLIMIT_NOFILE, &limit));
  none = limit;
  none.rlim_cur = 0;
  assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &none));
  printer_init(&printer, ends[1], 0);
  assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &limit));
  assert_int_equal(ends[1], printer.fd);
  alarm(20); /* it would wait for ever */
  assert_true(printer_write(&printer, "first\n", 6));
  assert_true(printer_write(&printer, text, 3 * 4096 + 1));
  assert_false(printer_write(&printer, text, LARGE));
  for (int i = 0; i < 1000; i++)
    assert_false(printer_write(&printer, "x\n", 2));
  assert_int_equal(1001, printer.lost);
  alarm(0);
  printer_deinit(&printer, ends[1]);
  close(ends[0]);
  close(ends[1]);
}

static void patience_is_used_up_once_in_a_while(void **state) {
  (void)state;
  int ends[2];
  struct printer printer;
  assert_int_equal(0, pipe(ends));
  printer_init(&printer, ends[1], 20);
  assert_false(printer_write(&printer, text, LARGE));
  assert_true(printer.used_ns >= 20 * 1000 * 1000);
  uint64_t window = printer.window_ns, used = printer.used_ns;
  assert_false(printer_write(&printer, "x\n", 2));
  assert_true(printer.window_ns != window || printer.used_ns == used); /* not waited again in the same window */
  printer_deinit(&printer, ends[1]);
  close(ends[0]);
  close(ends[1]);
}

static void *read_all(void *context) {
  static char piece[4096];
  size_t count = 0;
  for (ssize_t got; (got = read(*(int *)context, piece, sizeof piece)) > 0;)
    count += (size_t)got;
  return (void *)(uintptr_t)count;
}

static void all_comes_to_a_reader(void **state) {
  (void)state;
  int ends[2];
  struct printer printer;
  pthread_t reader;
  void *count;
  assert_int_equal(0, pipe(ends));
  printer_init(&printer, ends[1], 10000);
  assert_int_equal(0, pthread_create(&reader, NULL, read_all, &ends[0]));
  assert_true(printer_write(&printer, text, LARGE));
  printer_deinit(&printer, ends[1]);
  close(ends[1]);
  pthread_join(reader, &count);
  assert_int_equal(LARGE, (uintptr_t)count);
  assert_int_equal(0, printer.lost);
  close(ends[0]);
}

static void loss_is_to_be_told_once_in_a_while(void **state) {
  (void)state;
  struct printer printer;
  printer_init(&printer, STDERR_FILENO, 0);
  assert_true(printer_report_is_due(&printer, 60000));
  assert_false(printer_report_is_due(&printer, 60000));
  assert_true(printer_report_is_due(&printer, 0));
  printer_deinit(&printer, STDERR_FILENO);
}

static void a_descriptor_that_is_closed_loses_all(void **state) {
  (void)state;
  struct printer printer;
  printer_init(&printer, -1, 20);
  assert_false(printer_write(&printer, "x", 1));
  assert_int_equal(1, printer.lost);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_nobody_reads_is_lost_and_counted),
      cmocka_unit_test(nor_is_it_waited_for_where_no_description_of_our_own_can_be_had),
      cmocka_unit_test(patience_is_used_up_once_in_a_while),
      cmocka_unit_test(all_comes_to_a_reader),
      cmocka_unit_test(loss_is_to_be_told_once_in_a_while),
      cmocka_unit_test(a_descriptor_that_is_closed_loses_all),
  };
  memset(text, 'x', sizeof text);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
