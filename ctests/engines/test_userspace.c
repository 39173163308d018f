/* SPDX-License-Identifier: MIT
 *
 * What the engine lets go of when a connection is closed in the middle of something. */
#include "../support/records.h"
#include "engines/userspace.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* The dial has brought a descriptor, and the connection is closed before it is taken: its client has failed. */
static void test_a_descriptor_that_was_dialled_and_not_taken_is_closed(void **state) {
  struct connection *connection = record_new(NULL);
  struct exchange *exchange = record_exchange(connection, EXCHANGE_CONNECTING, NULL, 0);
  (void)state;
  exchange->dialled = true;
  int fd = exchange->dial_result = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(fd >= 0);
  userspace_cancel(exchange, true);
  assert_int_equal(fcntl(fd, F_GETFD), -1);
  assert_int_equal(errno, EBADF);
  assert_false(exchange->dialled);
  free(connection);
}

static void test_a_dial_that_has_failed_leaves_none_to_close(void **state) {
  struct connection *connection = record_new(NULL);
  struct exchange *exchange = record_exchange(connection, EXCHANGE_CONNECTING, NULL, 0);
  (void)state;
  int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  exchange->dialled = true;
  exchange->dial_result = -ECONNREFUSED;
  userspace_cancel(exchange, true);
  assert_false(exchange->dialled);
  assert_int_equal(close(fd), 0);
  free(connection);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_descriptor_that_was_dialled_and_not_taken_is_closed),
      cmocka_unit_test(test_a_dial_that_has_failed_leaves_none_to_close),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
