/* SPDX-License-Identifier: MIT
 *
 * HTTP/1.x requests: what is accepted, what is refused and with which status, and that pieces of any size make no
 * difference. Each input is fed whole, byte by byte, and in pieces of other sizes, and has to read the same each time.
 */
#include "http/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STORY_SIZE = 64 * 1024 };

struct story {
  char *text;
  size_t size;
};

static void tell(struct story *story, const char *bytes, size_t size) {
  assert_true(story->size + size < STORY_SIZE);
  memcpy(story->text + story->size, bytes, size);
  story->size += size;
  story->text[story->size] = '\0';
}

static void tell_text(struct story *story, const char *text) { tell(story, text, strlen(text)); }

static void tell_slice(struct story *story, struct http_slice slice) { tell(story, slice.bytes, slice.size); }

static void tell_head(struct story *story, const struct http_request *request) {
  tell_slice(story, request->method);
  tell_text(story, " ");
  tell_slice(story, request->target);
  tell_text(story, request->minor ? " 1.1" : " 1.0");
  for (size_t i = 0; i < request->field_count; i++) {
    tell_text(story, "|");
    tell_slice(story, request->fields[i].name);
    tell_text(story, "=");
    tell_slice(story, request->fields[i].value);
  }
  tell_text(story, request->keep_alive ? " keep" : " close");
  tell_text(story, request->upgrade ? " upgrade" : "");
  tell_text(story, request->expect_continue ? " continue" : "");
  tell_text(story, request->chunked ? " chunked [" : " [");
}

/* What the parser says of the input, fed in pieces of `piece` bytes: "GET /x 1.1|Host=a keep [body]", one message a
 * line; or the status of the error after what came before it. */
static char *read_in_pieces(const char *input, size_t size, size_t piece, const struct http_request_options *options) {
  struct story story = {.text = calloc(1, STORY_SIZE)};
  struct http_request request;
  char status[16];
  http_request_init(&request, options);
  for (size_t at = 0, end; at < size; at = end) {
    end = at + piece < size ? at + piece : size;
    for (enum http_event event = HTTP_EVENT_BODY; event != HTTP_EVENT_MORE;) {
      /* A copy on the heap, so that reading outside of it is found. */
      char *copy = malloc(end - at + 1);
      memcpy(copy, input + at, end - at);
      size_t consumed;
      event = http_request_feed(&request, copy, end - at, &consumed);
      assert_true(consumed <= end - at);
      at += consumed;
      if (event == HTTP_EVENT_HEAD)
        tell_head(&story, &request);
      else if (event == HTTP_EVENT_BODY)
        tell_slice(&story, request.body);
      else if (event == HTTP_EVENT_COMPLETE)
        tell_text(&story, "]\n");
      free(copy);
      if (event == HTTP_EVENT_ERROR) {
        snprintf(status, sizeof status, "error %u", request.status);
        tell_text(&story, status);
        assert_non_null(request.reason);
        assert_int_equal(http_request_feed(&request, "GET", 3, &consumed), HTTP_EVENT_ERROR);
        assert_int_equal(consumed, 0);
        goto out;
      }
    }
    assert_int_equal(at, end);
  }
out:
  http_request_deinit(&request);
  return story.text;
}

static void assert_reads_bytes(const char *input, size_t size, const struct http_request_options *options,
                               const char *expected) {
  static const size_t pieces[] = {SIZE_MAX / 2, 1, 2, 3, 5, 7, 16, 61};
  for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
    char *story = read_in_pieces(input, size, pieces[i], options);
    if (strcmp(story, expected) != 0)
      print_message("in pieces of %zu: %.300s\n", pieces[i], input);
    assert_string_equal(story, expected);
    free(story);
  }
}

static void assert_reads(const char *input, const char *expected) {
  assert_reads_bytes(input, strlen(input), NULL, expected);
}

/* A GET with the given lines after its Host. */
static void assert_lines_read(const char *lines, const char *expected) {
  char input[512];
  snprintf(input, sizeof input, "POST / HTTP/1.1\r\nHost: a\r\n%s", lines);
  assert_reads(input, expected);
}

static void a_request_without_a_body_is_read(void **state) {
  (void)state;
  assert_reads("GET /x?y=1 HTTP/1.1\r\nHost: example.com:80\r\nAccept:  */* \t\r\nX-Empty:\r\nX-White: \t \r\n\r\n",
               "GET /x?y=1 1.1|Host=example.com:80|Accept=*/*|X-Empty=|X-White= keep []\n");
  assert_reads("HEAD / HTTP/1.0\r\n\r\n", "HEAD / 1.0 close []\n");
  assert_reads("\r\n\r\nGET / HTTP/1.1\r\nHost:\r\n\r\n\r\n", "GET / 1.1|Host= keep []\n");
  assert_reads("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * 1.1|Host=a keep []\n");
  assert_reads("GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://a/b 1.1|Host=a keep []\n");
  assert_reads("GET / HTTP/1.1\r\nHost: [::1]:8080\r\nX: \xc3\xa9\r\n\r\n",
               "GET / 1.1|Host=[::1]:8080|X=\xc3\xa9 keep []\n");
}

static void keep_alive_follows_version_and_connection(void **state) {
  (void)state;
  assert_reads("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
               "GET / 1.1|Host=a|Connection=close close []\n");
  assert_reads("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET / 1.0|Connection=Keep-Alive keep []\n");
  assert_reads("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n",
               "GET / 1.1|Host=a|Connection=keep-alive, close close []\n");
  assert_reads("GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n",
               "GET / 1.0|Connection=close, keep-alive close []\n");
}

static void bodies_are_read_by_length_and_by_chunks(void **state) {
  (void)state;
  assert_lines_read("Content-Length: 5\r\n\r\nhello", "POST / 1.1|Host=a|Content-Length=5 keep [hello]\n");
  assert_lines_read("Content-Length: 0\r\n\r\n", "POST / 1.1|Host=a|Content-Length=0 keep []\n");
  assert_lines_read("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n, moon\r\n0\r\n\r\n",
                    "POST / 1.1|Host=a|Transfer-Encoding=chunked keep chunked [hello, moon]\n");
  assert_lines_read("Transfer-Encoding: CHUNKED\r\n\r\n1;q=\"a b\"\r\nx\r\n0\r\nDigest: abc\r\nX:\r\n\r\n",
                    "POST / 1.1|Host=a|Transfer-Encoding=CHUNKED keep chunked [x]\n");
  assert_lines_read("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                    "POST / 1.1|Host=a|Transfer-Encoding=chunked keep chunked []\n");
}

static void an_unfinished_message_is_not_complete(void **state) {
  (void)state;
  assert_reads("GET / HTTP/1.1\r\nHost: a\r\n", "");
  assert_lines_read("Content-Length: 5\r\n\r\nhell", "POST / 1.1|Host=a|Content-Length=5 keep [hell");
  assert_lines_read("Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
                    "POST / 1.1|Host=a|Transfer-Encoding=chunked keep chunked [x");
}

static void pipelined_requests_are_read_one_after_another(void **state) {
  (void)state;
  assert_reads("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
               "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n\r\n"
               "POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nd\r\n0\r\n\r\n"
               "GET /4 HTTP/1.0\r\n\r\n",
               "POST /1 1.1|Host=a|Content-Length=3 keep [abc]\n"
               "GET /2 1.1|Host=a keep []\n"
               "POST /3 1.1|Host=a|Transfer-Encoding=chunked keep chunked [d]\n"
               "GET /4 1.0 close []\n");
}

static void an_upgrade_is_told_and_framed_like_any_request(void **state) {
  (void)state;
  assert_reads("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
               "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
               "GET /ws 1.1|Host=a|Connection=Upgrade|Upgrade=websocket keep upgrade []\n"
               "GET /2 1.1|Host=a keep []\n");
  assert_reads("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "CONNECT a:443 1.1|Host=a:443 keep upgrade []\n");
  assert_reads("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", "error 400");
}

static void expect_is_for_http_1_1_only(void **state) {
  (void)state;
  assert_lines_read("Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
                    "POST / 1.1|Host=a|Expect=100-Continue|Content-Length=1 keep continue [x]\n");
  assert_reads("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", "GET / 1.0|Expect=100-continue close []\n");
}

static void broken_request_lines_are_refused(void **state) {
  (void)state;
  static const char *const lines[] = {
      "hello\r\n",
      "GET /\r\n",
      "GET  / HTTP/1.1\r\n",
      "GET / HTTP/1.1 \r\n",
      " GET / HTTP/1.1\r\n",
      "GET / HTTP/11\r\n",
      "GET / http/1.1\r\n",
      "GET / HTTP/1.10\r\n",
      "G@T / HTTP/1.1\r\n",
      "GET /\x7f HTTP/1.1\r\n",
      "GET /\r HTTP/1.1\r\n",
      "GET / HTTP/1.1\n",
      "\x16\x03\x01\x02\x01",
      "GET /\t HTTP/1.1\r\n",
      "GET / XTTP/1.1\r\n",
      "\rGET / HTTP/1.1\r\n",
      "\nGET / HTTP/1.1\r\n",
  };
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
    assert_reads(lines[i], "error 400");
  assert_reads("PUT x HTTP/1.1\r\nHost: a\r\n\r\n", "error 400");
  assert_reads("PUT * HTTP/1.1\r\nHost: a\r\n\r\n", "error 400");
  assert_reads("get / HTTP/1.1\r\nHost: a\r\n\r\n", "error 501");
  assert_reads("GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", "error 400");
}

static void other_versions_and_methods_have_their_own_answer(void **state) {
  (void)state;
  assert_reads("GET / HTTP/2.0\r\n", "error 505");
  assert_reads("GET / HTTP/1.2\r\n", "error 505");
  assert_reads("GET / HTTP/0.9\r\n", "error 505");
  assert_reads("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "error 505");
  assert_reads("BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", "error 501");
  assert_reads("GETGETGETGETGETGETGETGETGETGETGETGET / HTTP/1.1\r\n", "error 501");
}

static void a_host_is_required_once(void **state) {
  (void)state;
  assert_reads("GET / HTTP/1.1\r\n\r\n", "error 400");
  assert_lines_read("Host: b\r\n\r\n", "error 400");
  assert_lines_read("HOST: a\r\n\r\n", "error 400");
  assert_reads("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "error 400");
  assert_reads("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "error 400");
  assert_reads("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "error 400");
  assert_reads("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "error 400");
  assert_reads("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "error 400");
}

static void broken_fields_are_refused(void **state) {
  (void)state;
  static const char *const lines[] = {
      "X: a\r\n b\r\n\r\n", "X: a\r\n\tb\r\n\r\n", "X : a\r\n\r\n",      "X\r\n\r\n",
      ": a\r\n\r\n",        "X: a\nY: b\r\n\r\n",  "X: a\rY: b\r\n\r\n", "X: a\x01\r\n\r\n",
      "X: a\x7f\r\n",       "X\xc3: a\r\n\r\n",    "X(y): a\r\n\r\n",    "\r\r\n",
      "X: a\r\r\n\r\n",
  };
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
    assert_lines_read(lines[i], "error 400");
  static const char nul[] = "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n";
  assert_reads_bytes(nul, sizeof nul - 1, NULL, "error 400");
  static const char nul_in_name[] = "GET / HTTP/1.1\r\nHost: a\r\nX\0: a\r\n\r\n";
  assert_reads_bytes(nul_in_name, sizeof nul_in_name - 1, NULL, "error 400");
}

/* Of every byte, wherever in a field it stands, also among bytes that are looked at together. */
static void a_field_has_no_control_characters(void **state) {
  (void)state;
  static const char begin[] = "GET / HTTP/1.1\r\nHost: a\r\nX: ", value[] = "abcdefghijklmnopqrst";
  for (size_t at = 1; at < sizeof value - 2; at++) {
    for (unsigned byte = 0; byte < 256; byte++) {
      char input[128], expected[128];
      int size = snprintf(input, sizeof input, "%s%s\r\n\r\n", begin, value);
      if (byte == '\r' || byte == '\n')
        continue;
      input[sizeof begin - 1 + at] = (char)byte;
      bool is_control = (byte < ' ' && byte != '\t') || byte == 0x7f;
      snprintf(expected, sizeof expected, is_control ? "error 400" : "GET / 1.1|Host=a|X=%.*s keep []\n",
               (int)sizeof value - 1, input + sizeof begin - 1);
      assert_reads_bytes(input, (size_t)size, NULL, expected);
    }
  }
}

static void framing_that_can_be_read_two_ways_is_refused(void **state) {
  (void)state;
  static const char *const lines[] = {
      "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
      "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
      "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
      "Content-Length: 5, 5\r\n\r\n",
      "Content-Length: +5\r\n\r\n",
      "Content-Length: -5\r\n\r\n",
      "Content-Length: 0x5\r\n\r\n",
      "Content-Length: 5 5\r\n\r\n",
      "Content-Length:\r\n\r\n",
      "Content-Length: 99999999999999999999\r\n\r\n",
      "Transfer-Encoding: identity\r\n\r\n",
      "Transfer-Encoding: chunked, gzip\r\n\r\n",
      "Transfer-Encoding: xchunked\r\n\r\n",
      "Transfer-Encoding:\r\n\r\n",
      "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
  };
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
    assert_lines_read(lines[i], "error 400");
  assert_reads("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "error 400");
  assert_lines_read("Transfer-Encoding: gzip, chunked\r\n\r\n", "error 501");
}

static void broken_chunks_are_refused(void **state) {
  (void)state;
  static const char *const bodies[] = {
      "\r\n",        "x\r\n",           "-1\r\n",         " 1\r\n",           "0x1\r\n",     "1\nx\r\n0\r\n\r\n",
      "1\rxx",       "1\r\nxx",         "1\r\nx\n0\r\n",  "1\r\nx\rx",        "1\r\nx0\r\n", "11111111111111111\r\n",
      "1 \r\nx\r\n", "0\r\nX: a\n\r\n", "0\r\n X: a\r\n", "0\r\nX: \x01\r\n", "0\r\nX\r\n",  "0\r\nX : a\r\n\r\n",
      "0\r\n\n",     "0\n\r\n",         "1;a\nx\r\n",     "1;a=\x01\r\n",     "1;\x01\r\n",  "1;a=\"\x01\"\r\n",
  };
  for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
    char input[256], *story;
    snprintf(input, sizeof input, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%s", bodies[i]);
    for (size_t piece = 1; piece <= sizeof input; piece++) {
      story = read_in_pieces(input, strlen(input), piece, NULL);
      if (!strstr(story, "error 400"))
        print_message("chunks number %zu in pieces of %zu\n", i, piece);
      assert_non_null(strstr(story, "error 400"));
      free(story);
    }
  }
}

static void sizes_are_bounded(void **state) {
  (void)state;
  struct http_request_options options = {.max_head = 64, .max_fields = 3, .max_body = 4};
  const char *small = "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nY: 2\r\n\r\n";
  assert_reads_bytes(small, strlen(small), &options, "GET / 1.1|Host=a|X=1|Y=2 keep []\n");
  const char *four = "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nY: 2\r\nZ: 3\r\n\r\n";
  assert_reads_bytes(four, strlen(four), &options, "error 431");
  const char *wide = "GET / HTTP/1.1\r\nHost: a\r\nX: 1234567890123456789012345678901234567890\r\n\r\n";
  assert_reads_bytes(wide, strlen(wide), &options, "error 431");
  const char *target = "GET /1234567890123456789012345678901234567890123456789012345678901234567890 HTTP/1.1\r\n";
  assert_reads_bytes(target, strlen(target), &options, "error 414");
  const char *body = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
  assert_reads_bytes(body, strlen(body), &options, "error 413");
  const char *fits = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd";
  assert_reads_bytes(fits, strlen(fits), &options, "PUT / 1.1|Host=a|Content-Length=4 keep [abcd]\n");
}

static void a_chunked_body_is_bounded_with_its_framing_and_trailers(void **state) {
  (void)state;
  struct http_request_options options = {.max_head = 100, .max_fields = 3, .max_body = 4};
  const char *head = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  static const struct {
    const char *body, *end;
  } cases[] = {
      {"2\r\nab\r\n3\r\ncde\r\n", "error 413"},
      {"1;a="
       "01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
       "error 400"},
      {"0\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n", "error 431"},
      {"0\r\nA: "
       "01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890\r\n",
       "error 431"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char input[512];
    snprintf(input, sizeof input, "%s%s", head, cases[i].body);
    for (size_t piece = 1; piece <= strlen(input); piece++) {
      char *story = read_in_pieces(input, strlen(input), piece, &options);
      assert_non_null(strstr(story, cases[i].end));
      free(story);
    }
  }
  const char *many = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n1\r\nd\r\n0\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n";
  assert_reads_bytes(many, strlen(many), &options, "PUT / 1.1|Host=a|Transfer-Encoding=chunked keep chunked [abcd]\n");
}

static void a_large_chunked_body_of_small_chunks_passes(void **state) {
  (void)state;
  struct http_request request;
  http_request_init(&request, NULL);
  const char *head = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  size_t consumed;
  assert_int_equal(http_request_feed(&request, head, strlen(head), &consumed), HTTP_EVENT_HEAD);
  for (int i = 0; i < 100000; i++) {
    assert_int_equal(http_request_feed(&request, "1\r\nx\r\n", 6, &consumed), HTTP_EVENT_BODY);
    size_t more;
    assert_int_equal(http_request_feed(&request, &"1\r\nx\r\n"[consumed], 6 - consumed, &more), HTTP_EVENT_MORE);
    assert_int_equal(consumed + more, 6);
  }
  assert_int_equal(http_request_feed(&request, "0\r\n\r\n", 5, &consumed), HTTP_EVENT_COMPLETE);
  assert_int_equal(request.body_size, 100000);
  http_request_deinit(&request);
}

static void a_parser_is_idle_between_messages_only(void **state) {
  (void)state;
  struct http_request request;
  size_t consumed;
  http_request_init(&request, NULL);
  assert_true(http_request_is_idle(&request));
  assert_int_equal(http_request_feed(&request, "\r\n", 2, &consumed), HTTP_EVENT_MORE);
  assert_true(http_request_is_idle(&request));
  const char *rest = "GET / HTTP/1.0\r\n\r\n";
  assert_int_equal(http_request_feed(&request, rest, 1, &consumed), HTTP_EVENT_MORE);
  assert_false(http_request_is_idle(&request));
  assert_int_equal(http_request_feed(&request, rest + 1, strlen(rest) - 1, &consumed), HTTP_EVENT_HEAD);
  assert_int_equal(consumed, strlen(rest) - 1);
  assert_false(http_request_is_idle(&request));
  assert_int_equal(http_request_feed(&request, NULL, 0, &consumed), HTTP_EVENT_COMPLETE);
  assert_true(http_request_is_idle(&request));
  assert_int_equal(http_request_feed(&request, NULL, 0, &consumed), HTTP_EVENT_MORE);
  assert_true(http_request_is_idle(&request));
  http_request_deinit(&request);
}

static void fields_are_found_without_case(void **state) {
  (void)state;
  struct http_request request;
  size_t consumed;
  http_request_init(&request, NULL);
  const char *head = "GET / HTTP/1.1\r\nhOST: a\r\nX-One: 1\r\nx-one: 2\r\n\r\n";
  assert_int_equal(http_request_feed(&request, head, strlen(head), &consumed), HTTP_EVENT_HEAD);
  assert_true(http_slice_is(http_request_find(&request, "host")->value, "a"));
  assert_true(http_slice_is(http_request_find(&request, "x-one")->value, "1"));
  assert_null(http_request_find(&request, "x-on"));
  http_request_deinit(&request);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_request_without_a_body_is_read),
      cmocka_unit_test(keep_alive_follows_version_and_connection),
      cmocka_unit_test(bodies_are_read_by_length_and_by_chunks),
      cmocka_unit_test(an_unfinished_message_is_not_complete),
      cmocka_unit_test(pipelined_requests_are_read_one_after_another),
      cmocka_unit_test(an_upgrade_is_told_and_framed_like_any_request),
      cmocka_unit_test(expect_is_for_http_1_1_only),
      cmocka_unit_test(broken_request_lines_are_refused),
      cmocka_unit_test(other_versions_and_methods_have_their_own_answer),
      cmocka_unit_test(a_host_is_required_once),
      cmocka_unit_test(broken_fields_are_refused),
      cmocka_unit_test(a_field_has_no_control_characters),
      cmocka_unit_test(framing_that_can_be_read_two_ways_is_refused),
      cmocka_unit_test(broken_chunks_are_refused),
      cmocka_unit_test(sizes_are_bounded),
      cmocka_unit_test(a_chunked_body_is_bounded_with_its_framing_and_trailers),
      cmocka_unit_test(a_large_chunked_body_of_small_chunks_passes),
      cmocka_unit_test(a_parser_is_idle_between_messages_only),
      cmocka_unit_test(fields_are_found_without_case),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
