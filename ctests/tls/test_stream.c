/* SPDX-License-Identifier: MIT
 *
 * A server's and a client's TLS stream on the two ends of a socket pair, in one loop: handshake, bytes both ways under
 * backpressure, ends that are ends and ends that are not, what was read ahead, and certificates. */
#include "tls/context_cache.h"
#include "tls/stream.h"

#include "../net/support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

struct ends {
  struct bench bench;
  struct tls_context_cache cache;
  struct tally tally; /* of the server's wire */
  struct stream server, client;
  char *certificate, *key;
};

static int set_up(void **context) {
  struct ends *ends = calloc(1, sizeof *ends);
  int fds[2];
  bench_init(&ends->bench);
  tls_context_cache_init(&ends->cache);
  assert_int_equal(tls_self_signed("site.example", &ends->certificate, &ends->key), 0);
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
  assert_int_equal(stream_open(&ends->server, &ends->bench.loop, fds[0], &ends->tally, STREAM_WRITABLE), 0);
  assert_int_equal(stream_open(&ends->client, &ends->bench.loop, fds[1], NULL, STREAM_WRITABLE), 0);
  *context = ends;
  return 0;
}

static int tear_down(void **context) {
  struct ends *ends = *context;
  stream_close(&ends->server, false);
  stream_close(&ends->client, false);
  tls_context_cache_deinit(&ends->cache);
  bench_deinit(&ends->bench);
  free(ends->certificate);
  free(ends->key);
  free(ends);
  return 0;
}

static void start(struct ends *ends, struct stream *stream, const struct tls_settings *settings, const char *name) {
  struct error error = {0};
  struct tls_context *context = tls_context_cache_get(&ends->cache, settings, &error);
  if (context == NULL)
    fail_msg("%s: %s", error.place, error.message);
  assert_int_equal(tls_stream_start(stream, context, name), 0);
  tls_context_unref(context);
}

static struct tls_settings server_settings(const struct ends *ends) {
  return (struct tls_settings){.is_server = true, .certificate = ends->certificate, .key = ends->key};
}

static void start_both(struct ends *ends) {
  struct tls_settings server = server_settings(ends), client = {.authorities = ends->certificate, .verify = true};
  start(ends, &ends->server, &server, NULL);
  start(ends, &ends->client, &client, "site.example");
}

static bool waits(ssize_t status) { return status == STREAM_WANT_READ || status == STREAM_WANT_WRITE; }

/* Both go on until neither waits. */
static void shake(struct ends *ends, int *server, int *client) {
  *server = *client = STREAM_WANT_READ;
  AWAIT(&ends->bench,
        (waits(*client) ? (*client = tls_stream_handshake(&ends->client)) : 0,
         waits(*server) ? (*server = tls_stream_handshake(&ends->server)) : 0, !waits(*server) && !waits(*client)));
}

static void establish(struct ends *ends) {
  int server, client;
  start_both(ends);
  shake(ends, &server, &client);
  assert_int_equal(server, 0);
  assert_int_equal(client, 0);
}

static ssize_t read_one(struct ends *ends, struct stream *stream, void *bytes, size_t size) {
  ssize_t got = STREAM_WANT_READ;
  AWAIT(&ends->bench, !stream_may_read(stream) || !waits(got = stream_read(stream, bytes, size)) ? !waits(got) : false);
  return got;
}

static void expect_bytes(struct ends *ends, struct stream *stream, const char *text) {
  char bytes[256];
  assert_int_equal(read_one(ends, stream, bytes, sizeof bytes), strlen(text));
  assert_memory_equal(bytes, text, strlen(text));
}

static void bytes_go_both_ways(void **context) {
  struct ends *ends = *context;
  struct tls_agreement agreement;
  establish(ends);
  assert_int_equal(stream_write(&ends->client, "hello", 5), 5);
  expect_bytes(ends, &ends->server, "hello");
  struct iovec parts[] = {{"good ", 5}, {"bye", 3}};
  assert_int_equal(stream_writev(&ends->server, parts, 2), 8);
  expect_bytes(ends, &ends->client, "good bye");
  tls_stream_agreement(&ends->server, &agreement);
  assert_string_equal(agreement.version, "TLSv1.3");
  assert_string_equal(agreement.server_name, "site.example");
  assert_null(agreement.alpn);
}

static void the_first_read_and_write_shake_hands_themselves(void **context) {
  struct ends *ends = *context;
  char bytes[8];
  ssize_t put = STREAM_WANT_READ, got = STREAM_WANT_READ;
  start_both(ends);
  AWAIT(&ends->bench, (waits(put) ? (put = stream_write(&ends->client, "hi", 2)) : 0,
                       waits(got) ? (got = stream_read(&ends->server, bytes, sizeof bytes)) : 0, got == 2));
  assert_int_equal(put, 2);
}

static void the_wire_is_counted_under_tls(void **context) {
  struct ends *ends = *context;
  establish(ends);
  assert_true(ends->tally.own.in > 200);
  assert_true(ends->tally.own.out > 400);
  struct byte_count before = ends->tally.own;
  assert_int_equal(stream_write(&ends->client, "hello", 5), 5);
  expect_bytes(ends, &ends->server, "hello");
  assert_int_equal(ends->tally.own.in - before.in, 5 + 5 + 1 + 16); /* RFC 8446 section 5.2 */
}

static void megabytes_arrive_whole_through_a_narrow_socket(void **context) {
  struct ends *ends = *context;
  enum { SIZE = 3 * 1024 * 1024 };
  uint8_t *sent = malloc(SIZE), *received = malloc(SIZE);
  size_t out = 0, in = 0;
  establish(ends);
  for (size_t i = 0; i < SIZE; i++)
    sent[i] = (uint8_t)(i * 31 + i / 255);
  uint64_t limit = real_ms() + AWAIT_LIMIT_S * 1000;
  while (in < SIZE && real_ms() < limit) {
    while (out < SIZE && ends->server.readiness & STREAM_WRITABLE) {
      ssize_t put = stream_write(&ends->server, sent + out, SIZE - out);
      assert_true(put > 0 || waits(put));
      if (put > 0)
        out += (size_t)put;
    }
    if (out == SIZE)
      assert_int_equal(stream_shutdown(&ends->server), 0);
    for (int round = 0; round < 3 && stream_may_read(&ends->client); round++) {
      ssize_t got = stream_read(&ends->client, received + in, SIZE - in < 50000 ? SIZE - in : 50000);
      assert_true(got > 0 || waits(got));
      if (got > 0)
        in += (size_t)got;
    }
    loop_round(&ends->bench.loop, false);
  }
  assert_int_equal(in, SIZE);
  assert_memory_equal(sent, received, SIZE);
  assert_int_equal(read_one(ends, &ends->client, received, 10), 0);
  free(sent);
  free(received);
}

static void an_end_of_one_side_leaves_the_other_open(void **context) {
  struct ends *ends = *context;
  char bytes[8];
  establish(ends);
  assert_int_equal(stream_shutdown(&ends->client), 0);
  assert_int_equal(read_one(ends, &ends->server, bytes, sizeof bytes), 0);
  assert_int_equal(stream_write(&ends->client, "x", 1), -EPIPE);
  assert_int_equal(stream_write(&ends->server, "late", 4), 4);
  expect_bytes(ends, &ends->client, "late");
  assert_int_equal(stream_shutdown(&ends->server), 0);
  assert_int_equal(read_one(ends, &ends->client, bytes, sizeof bytes), 0);
}

static void the_end_has_not_arrived_before_close_notify_has(void **context) {
  struct ends *ends = *context;
  uint8_t bytes[16 * 1024] = {0};
  establish(ends);
  while (ends->server.readiness & STREAM_WRITABLE)
    assert_true(stream_write(&ends->server, bytes, sizeof bytes) > 0);
  assert_int_equal(stream_shutdown(&ends->server), 0);
  assert_false(stream_end_arrived(&ends->server));
  assert_int_equal(read_one(ends, &ends->client, bytes, sizeof bytes), sizeof bytes);
  assert_false(stream_end_arrived(&ends->server));
  while (read_one(ends, &ends->client, bytes, sizeof bytes) > 0)
    ;
  assert_true(stream_end_arrived(&ends->server));
}

static void a_socket_that_just_ends_is_no_end(void **context) {
  struct ends *ends = *context;
  char bytes[8];
  establish(ends);
  assert_int_equal(stream_write(&ends->client, "cut", 3), 3);
  assert_int_equal(shutdown(ends->client.fd, SHUT_WR), 0);
  expect_bytes(ends, &ends->server, "cut");
  assert_int_equal(read_one(ends, &ends->server, bytes, sizeof bytes), -ENODATA);
  assert_int_equal(read_one(ends, &ends->server, bytes, sizeof bytes), -ENODATA);
}

/* Its answer came before it hung up: that is read, and only then the failure. */
static void what_a_peer_said_before_it_broke_is_read(void **context) {
  struct ends *ends = *context;
  establish(ends);
  assert_int_equal(stream_write(&ends->client, "no more", 7), 7);
  stream_close(&ends->client, false);
  loop_round(&ends->bench.loop, true);
  assert_int_equal(stream_write(&ends->server, "upload", 6), -EPIPE);
  expect_bytes(ends, &ends->server, "no more");
  char bytes[8];
  assert_int_equal(read_one(ends, &ends->server, bytes, sizeof bytes), -ENODATA);
}

/* As after STARTTLS: the hello came with the plain bytes, in two pieces that were both read ahead. */
static void what_was_read_ahead_goes_to_tls(void **context) {
  struct ends *ends = *context;
  uint8_t bytes[4096];
  struct tls_settings server = server_settings(ends), client = {.authorities = ends->certificate, .verify = true};
  start(ends, &ends->client, &client, "site.example");
  assert_int_equal(tls_stream_handshake(&ends->client), STREAM_WANT_READ);
  ssize_t got = read_one(ends, &ends->server, bytes, sizeof bytes);
  assert_true(got > 100);
  assert_int_equal(stream_unread(&ends->server, bytes + 50, (size_t)got - 50), 0);
  assert_int_equal(stream_unread(&ends->server, bytes, 50), 0);
  start(ends, &ends->server, &server, NULL);
  int server_status, client_status;
  shake(ends, &server_status, &client_status);
  assert_int_equal(server_status, 0);
  assert_int_equal(client_status, 0);
  assert_int_equal(stream_write(&ends->client, "hello", 5), 5);
  expect_bytes(ends, &ends->server, "hello");
}

static void expect_refusal(struct ends *ends, const struct tls_settings *client, const char *name) {
  struct tls_settings server = server_settings(ends);
  int server_status, client_status;
  start(ends, &ends->server, &server, NULL);
  start(ends, &ends->client, client, name);
  shake(ends, &server_status, &client_status);
  assert_int_equal(client_status, -EKEYREJECTED);
  assert_non_null(tls_stream_detail(&ends->client));
}

static void a_certificate_of_nobody_known_is_refused(void **context) {
  struct tls_settings client = {.verify = true};
  expect_refusal(*context, &client, "site.example");
}

static void a_certificate_of_another_name_is_refused(void **context) {
  struct ends *ends = *context;
  struct tls_settings client = {.authorities = ends->certificate, .verify = true};
  expect_refusal(ends, &client, "other.example");
}

static void an_address_has_to_be_the_certificates_too(void **context) {
  struct ends *ends = *context;
  struct tls_settings client = {.authorities = ends->certificate, .verify = true};
  expect_refusal(ends, &client, "192.0.2.1");
}

static void a_client_without_a_certificate_is_refused_where_one_is_asked_for(void **context) {
  struct ends *ends = *context;
  struct tls_settings server = server_settings(ends), client = {.is_server = false};
  int server_status, client_status;
  char bytes[8];
  server.verify = true;
  server.authorities = ends->certificate;
  start(ends, &ends->server, &server, NULL);
  start(ends, &ends->client, &client, NULL);
  shake(ends, &server_status, &client_status);
  assert_int_equal(server_status, -EKEYREJECTED);
  assert_int_equal(read_one(ends, &ends->client, bytes, sizeof bytes), -EPROTO); /* the alert */
}

static void what_is_no_tls_fails_with_the_reason(void **context) {
  struct ends *ends = *context;
  struct tls_settings server = server_settings(ends);
  int status = STREAM_WANT_READ;
  assert_int_equal(stream_write(&ends->client, "GET / HTTP/1.0\r\n\r\n", 18), 18);
  start(ends, &ends->server, &server, NULL);
  AWAIT(&ends->bench, !waits(status = tls_stream_handshake(&ends->server)));
  assert_int_equal(status, -EPROTO);
  assert_string_equal(tls_stream_detail(&ends->server), "http request");
  assert_int_equal(tls_stream_handshake(&ends->server), -EPROTO);
}

static void a_peer_that_leaves_in_the_handshake_is_gone(void **context) {
  struct ends *ends = *context;
  struct tls_settings server = server_settings(ends);
  int status = STREAM_WANT_READ;
  stream_close(&ends->client, false);
  start(ends, &ends->server, &server, NULL);
  AWAIT(&ends->bench, !waits(status = tls_stream_handshake(&ends->server)));
  assert_int_equal(status, -ECONNRESET);
}

static void protocols_are_agreed_upon_or_refused(void **context) {
  struct ends *ends = *context;
  struct tls_settings server = server_settings(ends), client = {.is_server = false};
  struct tls_agreement agreement;
  int server_status, client_status;
  server.alpn = (const uint8_t *)"\2h2\10http/1.1";
  client.alpn = (const uint8_t *)"\10http/1.1\3foo";
  server.alpn_size = 12;
  client.alpn_size = 13;
  start(ends, &ends->server, &server, NULL);
  start(ends, &ends->client, &client, NULL);
  shake(ends, &server_status, &client_status);
  tls_stream_agreement(&ends->client, &agreement);
  assert_int_equal(agreement.alpn_size, 8);
  assert_memory_equal(agreement.alpn, "http/1.1", 8);
}

static void one_setting_is_one_context_and_their_number_is_bounded(void **context) {
  struct ends *ends = *context;
  struct tls_settings settings = {.is_server = true};
  struct tls_context *first = tls_context_cache_get(&ends->cache, &settings, NULL);
  struct tls_context *again = tls_context_cache_get(&ends->cache, &settings, NULL);
  assert_non_null(first);
  assert_ptr_equal(first, again);
  tls_context_unref(again);
  for (unsigned i = 0; i < TLS_CACHED_CONTEXTS + 10; i++) {
    uint8_t alpn[2] = {1, (uint8_t)i};
    settings.alpn = alpn;
    settings.alpn_size = sizeof alpn;
    tls_context_unref(tls_context_cache_get(&ends->cache, &settings, NULL));
  }
  assert_int_equal(ends->cache.count, TLS_CACHED_CONTEXTS);
  assert_int_equal(atomic_load(&first->references), 1);
  tls_context_unref(first);
}

static void expect_fault(const struct tls_settings *settings, const char *setting) {
  struct error error = {0};
  assert_null(tls_context_new(settings, &error));
  assert_string_equal(error.place, setting);
  assert_true(strlen(error.message) > 10);
}

static void faulty_settings_are_named(void **context) {
  struct ends *ends = *context;
  char *other, *other_key;
  assert_int_equal(tls_self_signed("other", &other, &other_key), 0);
  expect_fault(&(struct tls_settings){.is_server = true, .certificate = "nonsense", .key = ends->key}, "certificate");
  expect_fault(&(struct tls_settings){.is_server = true, .certificate = ends->certificate, .key = "x"}, "key");
  expect_fault(&(struct tls_settings){.is_server = true, .certificate = ends->certificate, .key = other_key}, "key");
  expect_fault(&(struct tls_settings){.verify = true, .authorities = "-----"}, "authorities");
  expect_fault(&(struct tls_settings){.alpn = (const uint8_t *)"\7x", .alpn_size = 2}, "alpn");
  free(other);
  free(other_key);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(bytes_go_both_ways),
      TEST(the_first_read_and_write_shake_hands_themselves),
      TEST(the_wire_is_counted_under_tls),
      TEST(megabytes_arrive_whole_through_a_narrow_socket),
      TEST(an_end_of_one_side_leaves_the_other_open),
      TEST(the_end_has_not_arrived_before_close_notify_has),
      TEST(a_socket_that_just_ends_is_no_end),
      TEST(what_a_peer_said_before_it_broke_is_read),
      TEST(what_was_read_ahead_goes_to_tls),
      TEST(a_certificate_of_nobody_known_is_refused),
      TEST(a_certificate_of_another_name_is_refused),
      TEST(an_address_has_to_be_the_certificates_too),
      TEST(a_client_without_a_certificate_is_refused_where_one_is_asked_for),
      TEST(what_is_no_tls_fails_with_the_reason),
      TEST(a_peer_that_leaves_in_the_handshake_is_gone),
      TEST(protocols_are_agreed_upon_or_refused),
      TEST(one_setting_is_one_context_and_their_number_is_bounded),
      TEST(faulty_settings_are_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
