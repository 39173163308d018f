/* SPDX-License-Identifier: MIT
 *
 * HTTP/1.0 and 1.1 requests (RFC 9112), from bytes to events: a push parser around llhttp that holds back what two
 * servers could read differently. It knows framing, not meaning: who answers, and what, is its caller's business. */
#pragma once

#include "core/buffer.h"

#include <llhttp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HTTP_MAX_HEAD = 16 * 1024, HTTP_MAX_FIELDS = 100 };

/* Not terminated. */
struct http_slice {
  const char *bytes;
  size_t size;
};

struct http_field {
  struct http_slice name;  /* as it was written; compared without case */
  struct http_slice value; /* without the white space around it; may be empty */
};

/* 0: the default. */
struct http_request_options {
  size_t max_head;   /* bytes from the method to the empty line; default HTTP_MAX_HEAD. Trailers count anew */
  size_t max_fields; /* default HTTP_MAX_FIELDS. Trailers count anew */
  uint64_t max_body; /* bytes, decoded; default: no limit */
};

enum http_event {
  HTTP_EVENT_MORE,     /* everything was consumed, and nothing is to be told */
  HTTP_EVENT_HEAD,     /* the head is complete: all fields below down to `expect_continue` are set */
  HTTP_EVENT_BODY,     /* `body` has the next bytes of the body */
  HTTP_EVENT_COMPLETE, /* the message has ended; what was not consumed belongs to the next one */
  HTTP_EVENT_ERROR     /* `status` and `reason` say why. Final: the connection has to be closed after the answer */
};

struct http_request {
  struct http_slice method, target; /* the target as it was written (RFC 9112, 3.2) */
  unsigned minor;                   /* HTTP/1.minor: 0 or 1 */
  const struct http_field *fields;  /* of the head, in their order */
  size_t field_count;
  bool keep_alive;      /* another request may follow on this connection (RFC 9112, 9.3) */
  bool upgrade;         /* it is a CONNECT, or asks to upgrade; framed like any other all the same */
  bool chunked;         /* the body is chunked: its size is not known */
  uint64_t length;      /* of the body, when it is not chunked; 0 without one */
  bool expect_continue; /* the client waits for "100 Continue" before it sends the body (RFC 9110, 10.1.1) */

  struct http_slice body; /* HTTP_EVENT_BODY only: part of what was fed, chunk framing removed */
  uint64_t body_size;     /* bytes of the body so far, these included */

  unsigned status; /* HTTP_EVENT_ERROR only: 400, 413, 414, 431, 501, 503 (no memory) or 505 */
  const char *reason;

  /* What follows is the parser's own. */
  struct http_request_options options;
  llhttp_t parser;
  struct buffer *head;
  struct http_field *field_room;
  size_t field_capacity;    /* of this head */
  size_t field_space;       /* what there is room for */
  size_t scanned, lines;    /* of this head, or of these trailers */
  uint64_t framing;         /* bytes of chunk framing so far */
  unsigned char scan_state; /* enum scan_state */
  unsigned char phase;      /* enum phase */
  bool message_complete;
};

/* Allocates nothing yet. The struct must not move afterwards. `options` may be NULL. */
void http_request_init(struct http_request *request, const struct http_request_options *options);
void http_request_deinit(struct http_request *request);

/* Takes bytes up to the next event; `*consumed` says how many, also with HTTP_EVENT_ERROR. Feed what is left, even when
 * that is nothing, until the event is HTTP_EVENT_MORE. The slices of a head stay valid until the first feed after
 * HTTP_EVENT_COMPLETE. A body that nobody wants is skipped by ignoring its events. */
enum http_event http_request_feed(struct http_request *request, const void *bytes, size_t size, size_t *consumed);

/* Whether nothing of a message has come yet: a connection that ends here ends cleanly. */
bool http_request_is_idle(const struct http_request *request);

/* The first field of that name (`name` in lower case); NULL: there is none. */
const struct http_field *http_request_find(const struct http_request *request, const char *name);

/* Whether the slice is `text` (in lower case), compared without case. */
bool http_slice_is(struct http_slice slice, const char *text);
