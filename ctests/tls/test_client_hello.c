/* SPDX-License-Identifier: MIT
 *
 * What a ClientHello says, whatever pieces and records it comes in, and how each malformed one is refused. Every input
 * is fed whole, cut at every offset, and in pieces of several sizes, and has to read the same each time. */
#include "hello_builder.h"
#include "tls/client_hello.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdlib.h>

struct fixture {
  struct hello_bytes message, records;
  struct client_hello hello; /* what came out */
};

static int setup(void **state) {
  *state = calloc(1, sizeof(struct fixture));
  return *state ? 0 : -1;
}

static int teardown(void **state) {
  free(*state);
  return 0;
}

/* From a copy that is as long as the piece, so that a sanitizer sees what is read beyond it. */
static enum client_hello_status feed_copy(struct client_hello *hello, const uint8_t *bytes, size_t size) {
  uint8_t *copy = malloc(size + 1);
  assert_non_null(copy);
  memcpy(copy, bytes, size);
  enum client_hello_status status = client_hello_feed(hello, copy, size);
  free(copy);
  return status;
}

static void assert_same(const struct client_hello *a, const struct client_hello *b) {
  assert_int_equal(a->status, b->status);
  assert_int_equal(a->fault, b->fault);
  if (a->status != CLIENT_HELLO_COMPLETE)
    return;
  assert_int_equal(a->versions, b->versions);
  assert_int_equal(a->has_server_name, b->has_server_name);
  assert_int_equal(a->has_ech, b->has_ech);
  assert_string_equal(a->server_name, b->server_name);
  assert_int_equal(a->alpn_size, b->alpn_size);
  assert_memory_equal(a->alpn, b->alpn, a->alpn_size);
}

static void feed_in_pieces(struct client_hello *hello, const uint8_t *bytes, size_t size, size_t piece) {
  client_hello_init(hello);
  for (size_t at = 0; at < size; at += piece)
    feed_copy(hello, bytes + at, size - at < piece ? size - at : piece);
}

static void read_bytes(struct client_hello *hello, const void *bytes, size_t size) {
  static const size_t pieces[] = {1, 2, 3, 5, 7, 100};
  struct client_hello again;
  feed_in_pieces(hello, bytes, size, size);
  for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
    feed_in_pieces(&again, bytes, size, pieces[i]);
    assert_same(hello, &again);
  }
  for (size_t cut = 0; cut <= size && size < 4096; cut++) {
    client_hello_init(&again);
    feed_copy(&again, bytes, cut);
    feed_copy(&again, (const uint8_t *)bytes + cut, size - cut);
    assert_same(hello, &again);
  }
}

/* fixture->message in records of several sizes, each cut everywhere. */
static const struct client_hello *read_message(struct fixture *fixture) {
  static const size_t sizes[] = {1, 2, 5, 100, 4096};
  hello_records(&fixture->records, &fixture->message, 1 << 14);
  read_bytes(&fixture->hello, fixture->records.bytes, fixture->records.size);
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    struct client_hello again;
    hello_records(&fixture->records, &fixture->message, sizes[i]);
    read_bytes(&again, fixture->records.bytes, fixture->records.size);
    assert_same(&fixture->hello, &again);
  }
  return &fixture->hello;
}

static void assert_refused(const struct client_hello *hello, enum client_hello_fault fault, int alert) {
  assert_int_equal(hello->status, CLIENT_HELLO_REFUSED);
  assert_string_equal(client_hello_text(hello->fault), client_hello_text(fault));
  assert_int_equal(client_hello_alert(hello->fault), alert);
}

static void refuses_message(struct fixture *fixture, enum client_hello_fault fault, int alert) {
  assert_refused(read_message(fixture), fault, alert);
}

static void refuses_bytes(const void *bytes, size_t size, enum client_hello_fault fault, int alert) {
  struct client_hello hello;
  read_bytes(&hello, bytes, size);
  assert_refused(&hello, fault, alert);
}

static const struct client_hello *read_with_name(struct fixture *fixture, const void *name, size_t size) {
  hello_begin(&fixture->message, 0x0303);
  hello_extension(&fixture->message, 10, "\0\2\0\x1d", 4);
  hello_name(&fixture->message, name, size);
  hello_extension(&fixture->message, 0xff01, "", 1);
  return read_message(fixture);
}

static void has_name(struct fixture *fixture, const char *sent, const char *read) {
  const struct client_hello *hello = read_with_name(fixture, sent, strlen(sent));
  assert_int_equal(hello->status, CLIENT_HELLO_COMPLETE);
  assert_true(hello->has_server_name);
  assert_string_equal(hello->server_name, read);
}

static void the_name_is_in_lower_case_and_without_a_trailing_dot(void **state) {
  has_name(*state, "example.com", "example.com");
  has_name(*state, "Example.COM.", "example.com");
  has_name(*state, "_sip-1.xn--bcher-kva.example", "_sip-1.xn--bcher-kva.example");
  has_name(*state, "localhost", "localhost");
}

static void a_name_may_have_255_bytes(void **state) {
  char name[256] = {0};
  memset(name, 'a', 255);
  has_name(*state, name, name);
}

static void refuses_name(struct fixture *fixture, const char *name, size_t size) {
  assert_refused(read_with_name(fixture, name, size), HELLO_BAD_NAME, 112);
}

static void what_is_no_host_name_is_refused(void **state) {
  char name[257];
  memset(name, 'a', sizeof name);
  refuses_name(*state, name, 256);
  refuses_name(*state, "a\0b", 3);
  refuses_name(*state, "\0", 1);
  refuses_name(*state, "127.0.0.1\0a", 11);
  refuses_name(*state, ".", 1);
  refuses_name(*state, "a..b", 4);
  refuses_name(*state, ".a", 2);
  refuses_name(*state, "a..", 3);
  refuses_name(*state, "a b", 3);
  refuses_name(*state, "a/b", 3);
  refuses_name(*state, "*.example.com", 13);
  refuses_name(*state,
               "b\xc3\xbc"
               "cher.example",
               15);
  refuses_name(*state, "a\n", 2);
}

static void an_empty_name_does_not_parse(void **state) {
  assert_refused(read_with_name(*state, "", 0), HELLO_LENGTH, 50);
}

static void an_address_is_no_name(void **state) {
  static const char *const addresses[] = {"192.0.2.1", "192.0.2.1.", "2001:db8::1", "::ffff:192.0.2.1"};
  for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
    const struct client_hello *hello = read_with_name(*state, addresses[i], strlen(addresses[i]));
    assert_int_equal(hello->status, CLIENT_HELLO_COMPLETE);
    assert_false(hello->has_server_name);
    assert_string_equal(hello->server_name, "");
  }
}

static void only_host_names_of_a_list_are_names(void **state) {
  struct fixture *fixture = *state;
  hello_begin(&fixture->message, 0x0303);
  hello_extension(&fixture->message, 0, "\0\x0d\7\0\2??\0\0\1a\x09\0\1?", 15);
  const struct client_hello *hello = read_message(fixture);
  assert_int_equal(hello->status, CLIENT_HELLO_COMPLETE);
  assert_string_equal(hello->server_name, "a");
  hello_begin(&fixture->message, 0x0303);
  hello_extension(&fixture->message, 0, "\0\5\7\0\2??", 7);
  hello = read_message(fixture);
  assert_int_equal(hello->status, CLIENT_HELLO_COMPLETE);
  assert_false(hello->has_server_name);
}

static void two_host_names_are_refused(void **state) {
  struct fixture *fixture = *state;
  hello_begin(&fixture->message, 0x0303);
  hello_extension(&fixture->message, 0, "\0\x08\0\0\1a\0\0\1b", 10);
  refuses_message(fixture, HELLO_TWO_NAMES, 47);
  hello_begin(&fixture->message, 0x0303);
  hello_extension(&fixture->message, 0, "\0\x09\0\0\2::\0\0\1b", 11);
  refuses_message(fixture, HELLO_TWO_NAMES, 47);
}

static void versions_are_those_of_supported_versions(void **state) {
  struct fixture *fixture = *state;
  hello_begin(&fixture->message, 0x0303);
  hello_extension(&fixture->message, 43, "\x06\x2a\x2a\3\4\3\3", 7);
  assert_int_equal(read_message(fixture)->versions, TLS_1_3 | TLS_1_2);
  hello_begin(&fixture->message, 0x0303);
  hello_extension(&fixture->message, 43, "\x04\x7f\x1c\3\5", 5);
  const struct client_hello *hello = read_message(fixture);
  assert_int_equal(hello->status, CLIENT_HELLO_COMPLETE);
  assert_int_equal(hello->versions, 0);
}

static void without_them_it_is_the_legacy_version(void **state) {
  static const struct {
    unsigned sent, versions;
  } cases[] = {{0x0301, TLS_1_0}, {0x0302, TLS_1_1}, {0x0303, TLS_1_2}, {0x0304, TLS_1_2}, {0x7a7a, TLS_1_2}};
  struct fixture *fixture = *state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    hello_begin(&fixture->message, cases[i].sent);
    const struct client_hello *hello = read_message(fixture);
    assert_int_equal(hello->status, CLIENT_HELLO_COMPLETE);
    assert_int_equal(hello->versions, cases[i].versions);
    assert_false(hello->has_server_name);
  }
}

static void the_highest_version_has_a_label(void **state) {
  (void)state;
  assert_string_equal(tls_version_label(TLS_1_0 | TLS_1_3 | TLS_1_2), "1.3");
  assert_string_equal(tls_version_label(TLS_1_0), "1.0");
  assert_int_equal(tls_version_highest(TLS_1_0 | TLS_1_2), TLS_1_2);
  assert_null(tls_version_label(0));
}

static void protocols_and_an_encrypted_hello_are_noticed(void **state) {
  struct fixture *fixture = *state;
  hello_begin(&fixture->message, 0x0303);
  hello_extension(&fixture->message, 0x2a2a, "", 0);
  hello_extension(&fixture->message, 16, "\0\x0c\2h2\x08http/1.1", 14);
  hello_extension(&fixture->message, 0xfe0d, "whatever", 8);
  hello_name(&fixture->message, "outer.example", 13);
  const struct client_hello *hello = read_message(fixture);
  assert_int_equal(hello->status, CLIENT_HELLO_COMPLETE);
  assert_int_equal(hello->alpn_size, 12);
  assert_memory_equal(hello->alpn, "\2h2\x08http/1.1", 12);
  assert_true(hello->has_ech);
  assert_string_equal(hello->server_name, "outer.example");
}

static void protocols_without_room_are_left_out(void **state) {
  struct fixture *fixture = *state;
  uint8_t list[2 + 201 + 101 + 3] = {(sizeof list - 2) >> 8, (sizeof list - 2) & 0xff, 200};
  list[2 + 201] = 100;
  memcpy(list + 2 + 201 + 101, "\2h2", 3);
  hello_begin(&fixture->message, 0x0303);
  hello_extension(&fixture->message, 16, list, sizeof list);
  const struct client_hello *hello = read_message(fixture);
  assert_int_equal(hello->status, CLIENT_HELLO_COMPLETE);
  assert_int_equal(hello->alpn_size, 204);
  assert_memory_equal(hello->alpn + 201, "\2h2", 3);
}

static void large_hello(struct fixture *fixture, size_t size) {
  static uint8_t bytes[CLIENT_HELLO_MAX];
  hello_begin(&fixture->message, 0x0303);
  hello_name(&fixture->message, "large.example", 13);
  size_t extra = size - fixture->message.size - 4;
  hello_extension(&fixture->message, 51, bytes, extra / 2);
  hello_extension(&fixture->message, 0x1234, bytes, extra - extra / 2 - 4);
  assert_int_equal(fixture->message.size, size);
}

static void a_hello_may_have_64_kib(void **state) {
  struct fixture *fixture = *state;
  large_hello(fixture, 16 * 1024);
  assert_string_equal(read_message(fixture)->server_name, "large.example");
  large_hello(fixture, CLIENT_HELLO_MAX);
  assert_int_equal(read_message(fixture)->status, CLIENT_HELLO_COMPLETE);
  set_number(&fixture->message, 1, CLIENT_HELLO_MAX - 3, 3);
  refuses_message(fixture, HELLO_TOO_LARGE, 47);
}

static void what_follows_the_hello_is_not_looked_at(void **state) {
  struct fixture *fixture = *state;
  hello_begin(&fixture->message, 0x0303);
  hello_records(&fixture->records, &fixture->message, 100);
  put(&fixture->records, "garbage", 7);
  read_bytes(&fixture->hello, fixture->records.bytes, fixture->records.size);
  assert_int_equal(fixture->hello.status, CLIENT_HELLO_COMPLETE);
}

static void an_extension_stands_once(void **state) {
  static const unsigned types[] = {10, 51, 0xfe0d};
  struct fixture *fixture = *state;
  for (size_t i = 0; i < 3; i++) {
    hello_begin(&fixture->message, 0x0303);
    hello_extension(&fixture->message, types[i], "??", 2);
    hello_extension(&fixture->message, types[i], "??", 2);
    refuses_message(fixture, HELLO_DUPLICATE, 47);
  }
  hello_begin(&fixture->message, 0x0303);
  hello_name(&fixture->message, "a", 1);
  hello_name(&fixture->message, "b", 1);
  refuses_message(fixture, HELLO_DUPLICATE, 47);
}

/* Each length of a hello made too small or too large by one, or none at all. */
static void a_length_that_lies_does_not_parse(void **state) {
  enum { SESSION = 38, SUITES = 71, COMPRESSION = 77, EXTENSIONS = 79, FIRST = 83, LIST = 85, NAME = 88 };
  static const struct {
    size_t place;
    unsigned width;
    unsigned value;
  } lies[] = {{1, 3, 0},          {1, 3, 1},           {1, 3, 90},          {SESSION, 1, 33},      {SUITES, 2, 0},
              {SUITES, 2, 3},     {SUITES, 2, 4000},   {COMPRESSION, 1, 0}, {COMPRESSION, 1, 200}, {EXTENSIONS, 2, 0},
              {EXTENSIONS, 2, 9}, {EXTENSIONS, 2, 11}, {FIRST, 2, 0},       {FIRST, 2, 5},         {FIRST, 2, 7},
              {FIRST, 2, 65535},  {LIST, 2, 0},        {LIST, 2, 3},        {LIST, 2, 5},          {NAME, 2, 0},
              {NAME, 2, 2},       {NAME, 2, 200}};
  struct fixture *fixture = *state;
  for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
    hello_begin(&fixture->message, 0x0303);
    hello_name(&fixture->message, "a", 1);
    set_number(&fixture->message, lies[i].place, lies[i].value, lies[i].width);
    refuses_message(fixture, HELLO_LENGTH, 50);
  }
}

static void a_list_that_does_not_fill_its_extension_does_not_parse(void **state) {
  static const struct {
    unsigned type;
    const char *bytes;
    size_t size;
  } cases[] = {{0, "", 0},          {0, "\0\0", 2},       {43, "", 0},          {43, "\0", 1},   {43, "\1\3", 2},
               {43, "\3\3\4\3", 4}, {43, "\2\3\4\0", 4},  {16, "", 0},          {16, "\0\0", 2}, {16, "\0\1\0", 3},
               {16, "\0\3\3h2", 5}, {16, "\0\3\2h2?", 6}, {0, "\0\3\7\0\1", 5}, {0, "\0\1\7", 3}};
  struct fixture *fixture = *state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    hello_begin(&fixture->message, 0x0303);
    hello_extension(&fixture->message, cases[i].type, cases[i].bytes, cases[i].size);
    refuses_message(fixture, HELLO_LENGTH, 50);
  }
}

static void a_part_of_a_hello_waits_for_the_rest(void **state) {
  struct fixture *fixture = *state;
  hello_begin(&fixture->message, 0x0303);
  hello_name(&fixture->message, "example.com", 11);
  hello_records(&fixture->records, &fixture->message, 50);
  for (size_t size = 0; size < fixture->records.size; size++) {
    feed_in_pieces(&fixture->hello, fixture->records.bytes, size, size + 1);
    assert_int_equal(fixture->hello.status, CLIENT_HELLO_MORE);
  }
}

static void records_are_handshake_records_of_some_bytes(void **state) {
  (void)state;
  refuses_bytes("\x16\3\1\0\0\x16", 6, HELLO_RECORD_EMPTY, 10);
  refuses_bytes("\x16\3\1\0\1\1\x16\3\1\0\0", 11, HELLO_RECORD_EMPTY, 10);
  refuses_bytes("\x16\3\1\xff\xff\1", 6, HELLO_RECORD_TOO_LONG, 22);
  refuses_bytes("\x16\3\1\x40\1\1", 6, HELLO_RECORD_TOO_LONG, 22);
  refuses_bytes("\x16\2\0\0\1\1", 6, HELLO_RECORD_VERSION, 70);
  refuses_bytes("\x16\x16\x16\x16", 4, HELLO_RECORD_VERSION, 70);
  refuses_bytes("\x16\3\1\0\1\1\x15\3\1\0\2\1\0", 13, HELLO_RECORD_TYPE, 10);
}

static void another_message_is_not_expected(void **state) {
  struct fixture *fixture = *state;
  for (unsigned type = 0; type < 256; type++) {
    if (type == 1)
      continue;
    hello_begin(&fixture->message, 0x0303);
    fixture->message.bytes[0] = (uint8_t)type;
    refuses_message(fixture, HELLO_OTHER_MESSAGE, 10);
  }
}

static void old_versions_are_refused_by_version(void **state) {
  struct fixture *fixture = *state;
  hello_begin(&fixture->message, 0x0300);
  refuses_message(fixture, HELLO_SSL_3, 70);
  hello_begin(&fixture->message, 0x0002);
  refuses_message(fixture, HELLO_SSL_3, 70);
  refuses_bytes("\x80\x2e\1\0\2\0\x15\0\0\0\x10", 11, HELLO_SSL_2, 70);
  refuses_bytes("\x80\x2e\1\3\1\0\x15\0\0\0\x10", 11, HELLO_SSL_2, 70);
}

static void plain_http_is_recognised(void **state) {
  static const char *const requests[] = {"GET / HTTP/1.1\r\n",     "POST /x HTTP/1.1\r\n",       "HEAD / HTTP/1.0\r\n",
                                         "OPTIONS * HTTP/1.1\r\n", "CONNECT a:443 HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n"};
  (void)state;
  for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
    refuses_bytes(requests[i], strlen(requests[i]), HELLO_PLAIN_HTTP, 0);
}

static void garbage_is_neither(void **state) {
  static const char *const garbage[] = {"SSH-2.0-x\r\n",  "get / ",           "GETT / ",        "\n",
                                        "PUSH",           "\x15\3\3\0\2\1\0", "\x80\x2e\2\3\1", "\x80\x2e\1\4\1",
                                        "\x80\x2e\1\1\1", "\x17\3\3"};
  (void)state;
  for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++)
    refuses_bytes(garbage[i], strlen(garbage[i]), HELLO_NOT_TLS, 10);
  refuses_bytes("\0", 1, HELLO_NOT_TLS, 10);
}

static void an_alert_is_a_record_of_seven_bytes(void **state) {
  (void)state;
  uint8_t record[ALERT_RECORD_SIZE];
  alert_record(record, ALERT_WARNING, ALERT_UNRECOGNIZED_NAME);
  assert_memory_equal(record, "\x15\3\3\0\2\1\x70", 7);
  alert_record(record, ALERT_FATAL, ALERT_UNRECOGNIZED_NAME);
  assert_memory_equal(record, "\x15\3\3\0\2\2\x70", 7);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_name_is_in_lower_case_and_without_a_trailing_dot),
      TEST(a_name_may_have_255_bytes),
      TEST(what_is_no_host_name_is_refused),
      TEST(an_empty_name_does_not_parse),
      TEST(an_address_is_no_name),
      TEST(only_host_names_of_a_list_are_names),
      TEST(two_host_names_are_refused),
      TEST(versions_are_those_of_supported_versions),
      TEST(without_them_it_is_the_legacy_version),
      TEST(the_highest_version_has_a_label),
      TEST(protocols_and_an_encrypted_hello_are_noticed),
      TEST(protocols_without_room_are_left_out),
      TEST(a_hello_may_have_64_kib),
      TEST(what_follows_the_hello_is_not_looked_at),
      TEST(an_extension_stands_once),
      TEST(a_length_that_lies_does_not_parse),
      TEST(a_list_that_does_not_fill_its_extension_does_not_parse),
      TEST(a_part_of_a_hello_waits_for_the_rest),
      TEST(records_are_handshake_records_of_some_bytes),
      TEST(another_message_is_not_expected),
      TEST(old_versions_are_refused_by_version),
      TEST(plain_http_is_recognised),
      TEST(garbage_is_neither),
      TEST(an_alert_is_a_record_of_seven_bytes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
