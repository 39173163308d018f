/* SPDX-License-Identifier: MIT
 *
 * Any bytes as HTTP requests: fed whole and in pieces they have to tell the same story, and whatever is accepted has to
 * keep what the parser promises about it. The first byte chooses how the input is cut and how tight the limits are. */
#include "http/request.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { TIGHT = 128 };

struct story {
  uint64_t hash;
  size_t heads, messages;
  unsigned status;
};

static void check(bool holds) {
  if (!holds)
    abort();
}

static void mix(struct story *story, const void *bytes, size_t size) {
  const uint8_t *byte = bytes;
  for (size_t i = 0; i < size; i++)
    story->hash = (story->hash ^ byte[i]) * UINT64_C(1099511628211);
}

static void mix_slice(struct story *story, struct http_slice slice) {
  mix(story, slice.bytes, slice.size);
  mix(story, "", 1);
}

static void check_head(const struct http_request *request, struct story *story) {
  size_t hosts = 0, lengths = 0;
  for (size_t i = 0; i < request->field_count; i++) {
    const struct http_field *field = &request->fields[i];
    check(field->name.size > 0);
    check(!memchr(field->value.bytes, '\n', field->value.size) && !memchr(field->value.bytes, '\0', field->value.size));
    hosts += http_slice_is(field->name, "host");
    lengths += http_slice_is(field->name, "content-length");
    mix_slice(story, field->name);
    mix_slice(story, field->value);
  }
  check(hosts <= 1 && lengths <= 1 && (hosts == 1 || request->minor == 0));
  check(!request->chunked || (lengths == 0 && request->minor == 1));
  check(request->method.size > 0 && request->target.size > 0);
  check(request->field_count <= request->options.max_fields && request->length <= request->options.max_body);
  mix_slice(story, request->method);
  mix_slice(story, request->target);
  story->heads++;
}

static void feed(struct http_request *request, const uint8_t *bytes, size_t size, struct story *story) {
  /* A copy that ends where the piece ends, so that the sanitizer sees what is read beyond it. */
  uint8_t *copy = malloc(size ? size : 1);
  check(copy != NULL);
  if (size > 0)
    memcpy(copy, bytes, size);
  size_t at = 0, consumed;
  enum http_event event;
  do {
    event = http_request_feed(request, copy + at, size - at, &consumed);
    check(consumed <= size - at);
    at += consumed;
    if (event == HTTP_EVENT_HEAD) {
      check_head(request, story);
    } else if (event == HTTP_EVENT_BODY) {
      check(request->body.size > 0 && request->body_size <= request->options.max_body);
      mix(story, request->body.bytes, request->body.size);
    } else if (event == HTTP_EVENT_COMPLETE) {
      check(request->chunked || request->body_size == request->length);
      story->messages++;
    }
  } while (event != HTTP_EVENT_MORE && event != HTTP_EVENT_ERROR);
  check(event == HTTP_EVENT_ERROR || at == size);
  if (event == HTTP_EVENT_ERROR) {
    check(request->reason != NULL && request->status >= 400);
    story->status = request->status;
  }
  free(copy);
}

static struct story read_all(const uint8_t *bytes, size_t size, size_t piece,
                             const struct http_request_options *options) {
  struct http_request request;
  struct story story = {.hash = 1};
  http_request_init(&request, options);
  for (size_t at = 0; at < size && !story.status; at += piece)
    feed(&request, bytes + at, size - at < piece ? size - at : piece, &story);
  http_request_deinit(&request);
  return story;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  if (size == 0)
    return 0;
  struct http_request_options tight = {.max_head = TIGHT, .max_fields = 4, .max_body = TIGHT};
  const struct http_request_options *options = bytes[0] & 0x80 ? &tight : NULL;
  size_t piece = (bytes[0] & 0x7f) % 32 + 1;
  struct story whole = read_all(bytes + 1, size - 1, size, options);
  struct story pieces = read_all(bytes + 1, size - 1, piece, options);
  check(whole.heads == pieces.heads && whole.messages == pieces.messages);
  check((whole.status != 0) == (pieces.status != 0));
  /* What comes before an error in a body is told as far as the pieces reach; everything else is the same to the byte.
   */
  if (!whole.status)
    check(whole.hash == pieces.hash);
  return 0;
}
