/* SPDX-License-Identifier: MIT
 *
 * A head is collected and scanned line by line first, then handed to llhttp in one piece, then checked again: so every
 * slice is whole, and pieces of any size give the same outcome. llhttp decodes the body, and the scan goes over the
 * trailers too. */
#include "http/request.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_METHOD = 32, FRAMING_PER_BYTE = 8, KEPT_HEAD = 4 * 1024 };

enum phase { IN_HEAD, HEAD_TOLD, IN_BODY, IN_TRAILERS, COMPLETE_TOLD, BROKEN };

enum scan_state { BEFORE_HEAD, BEFORE_HEAD_CR, LINE_START, IN_LINE, AFTER_CR, LAST_CR, SCANNED };

static enum http_event request_fail(struct http_request *request, unsigned status, const char *reason) {
  request->phase = BROKEN;
  request->status = status;
  request->reason = reason;
  return HTTP_EVENT_ERROR;
}

/* ASCII only, whatever the locale. */
static char lower(char byte) { return byte >= 'A' && byte <= 'Z' ? (char)(byte + 32) : byte; }

static bool is_alphanumeric(char byte) {
  return (lower(byte) >= 'a' && lower(byte) <= 'z') || (byte >= '0' && byte <= '9');
}

static bool is_one_of(char byte, const char *set) { return byte != '\0' && strchr(set, byte) != NULL; }

static bool is_field_blank(char byte) { return byte == ' ' || byte == '\t'; }

static bool is_token(struct http_slice slice) {
  for (size_t i = 0; i < slice.size; i++)
    if (!is_alphanumeric(slice.bytes[i]) && !is_one_of(slice.bytes[i], "!#$%&'*+-.^_`|~"))
      return false;
  return slice.size > 0;
}

bool http_slice_is(struct http_slice slice, const char *text) {
  if (slice.size != strlen(text))
    return false;
  for (size_t i = 0; i < slice.size; i++)
    if (lower(slice.bytes[i]) != text[i])
      return false;
  return true;
}

static struct http_slice trim(struct http_slice slice) {
  while (slice.size > 0 && is_field_blank(slice.bytes[0]))
    slice = (struct http_slice){slice.bytes + 1, slice.size - 1};
  while (slice.size > 0 && is_field_blank(slice.bytes[slice.size - 1]))
    slice.size--;
  return slice;
}

const struct http_field *http_request_find(const struct http_request *request, const char *name) {
  for (size_t i = 0; i < request->field_count; i++)
    if (http_slice_is(request->fields[i].name, name))
      return &request->fields[i];
  return NULL;
}

/* The request line (RFC 9112, 3), which ends at `size`: judged as soon as it is there, so that what is no HTTP at all
 * gets its answer at once. Which methods exist, and what a target may hold, llhttp knows. */
static bool check_request_line(struct http_request *request, size_t size) {
  const char *line = (const char *)buffer_bytes(request->head), *end = line + size;
  const char *target = memchr(line, ' ', size);
  const char *version = target ? memchr(target + 1, ' ', (size_t)(end - target - 1)) : NULL;
  if (!version || end - version != 9 || memcmp(version, " HTTP/", 6) != 0 || version[7] != '.' || version[6] < '0' ||
      version[6] > '9' || version[8] < '0' || version[8] > '9') {
    request_fail(request, 400, "the request line is not \"METHOD target HTTP/1.1\"");
    return false;
  }
  request->method = (struct http_slice){line, (size_t)(target - line)};
  request->target = (struct http_slice){target + 1, (size_t)(version - target - 1)};
  if (version[6] != '1' || version[8] > '1')
    request_fail(request, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
  else if (!is_token(request->method))
    request_fail(request, 400, "the method has characters that no method has");
  else if (request->method.size > LONGEST_METHOD)
    request_fail(request, 501, "the method is not known");
  else if (request->target.size == 0 || memchr(request->target.bytes, '\t', request->target.size))
    request_fail(request, 400, "the target is empty or has a tab");
  request->minor = (unsigned)(version[8] - '0');
  return request->phase != BROKEN;
}

/* One byte of a head or of trailers. What passes has no control characters, no line end but CR LF, and no folded line
 * (RFC 9112, 2.2 and 5.2): llhttp is more generous with all three. NULL, or what is wrong. */
static const char *scan_byte(struct http_request *request, char byte) {
  switch ((enum scan_state)request->scan_state) {
  case BEFORE_HEAD_CR:
    request->scan_state = BEFORE_HEAD;
    return byte == '\n' ? NULL : "a CR without LF";
  case BEFORE_HEAD:
    if (byte == '\r') {
      request->scan_state = BEFORE_HEAD_CR;
      return NULL;
    }
    break;
  case LINE_START:
    if (byte == '\r') {
      request->scan_state = LAST_CR;
      return NULL;
    }
    if (is_field_blank(byte))
      return "a field goes on in the next line (obs-fold)";
    if (byte == ':')
      return "a field without a name";
    break;
  case IN_LINE:
    if (byte == '\r') {
      request->scan_state = AFTER_CR;
      return NULL;
    }
    break;
  case AFTER_CR:
    request->scan_state = LINE_START;
    request->lines++;
    return byte == '\n' ? NULL : "a CR without LF";
  case LAST_CR:
    request->scan_state = SCANNED;
    return byte == '\n' ? NULL : "a CR without LF";
  case SCANNED:
    assert(false);
  }
  request->scan_state = IN_LINE;
  if (byte == '\n')
    return "a line ends with LF alone, not CR LF";
  if (((unsigned char)byte < ' ' && byte != '\t') || byte == 0x7f)
    return "a control character";
  return NULL;
}

/* llhttp's callbacks. */

static int on_header_field(llhttp_t *parser, const char *at, size_t size) {
  struct http_request *request = parser->data;
  if (request->phase != IN_HEAD)
    return 0; /* a trailer: checked, then dropped */
  if (request->field_count == request->field_capacity)
    return HPE_USER;
  request->field_room[request->field_count++] = (struct http_field){{at, size}, {at + size, 0}};
  return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t size) {
  struct http_request *request = parser->data;
  if (request->phase != IN_HEAD)
    return 0;
  if (request->field_count == 0)
    return HPE_USER;
  request->field_room[request->field_count - 1].value = trim((struct http_slice){at, size});
  return 0;
}

static int on_headers_complete(llhttp_t *parser) {
  struct http_request *request = parser->data;
  request->keep_alive = llhttp_should_keep_alive(parser) && !(parser->flags & F_CONNECTION_CLOSE);
  request->chunked = (parser->flags & F_CHUNKED) != 0;
  request->length = parser->flags & F_CONTENT_LENGTH ? parser->content_length : 0;
  /* llhttp would stop reading here for good; whether the protocol changes is for who answers to decide. */
  request->upgrade = parser->upgrade != 0;
  parser->upgrade = 0;
  return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t size) {
  struct http_request *request = parser->data;
  request->body = (struct http_slice){at, size};
  request->body_size += size;
  return 0;
}

/* llhttp stops here, so that one run of it yields one slice of the body at most. */
static int on_chunk_complete(llhttp_t *parser) {
  (void)parser;
  return HPE_PAUSED;
}

static int on_chunk_header(llhttp_t *parser) {
  struct http_request *request = parser->data;
  if (parser->content_length > 0)
    return 0;
  request->phase = IN_TRAILERS;
  request->scan_state = LINE_START;
  request->scanned = request->lines = 0;
  return HPE_PAUSED;
}

static int on_message_complete(llhttp_t *parser) {
  struct http_request *request = parser->data;
  request->message_complete = true;
  return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_chunk_header = on_chunk_header,
    .on_chunk_complete = on_chunk_complete,
    .on_message_complete = on_message_complete,
};

/* Runs llhttp over bytes until it pauses or has them all. Whether they are in order; `*used` says how many it took. */
static bool request_run(struct http_request *request, const char *bytes, size_t size, size_t *used) {
  llhttp_errno_t code = llhttp_execute(&request->parser, bytes, size);
  *used = size;
  if (code == HPE_OK)
    return true;
  const char *at = llhttp_get_error_pos(&request->parser);
  if (at && at >= bytes && at <= bytes + size)
    *used = (size_t)(at - bytes);
  if (code == HPE_PAUSED) {
    llhttp_resume(&request->parser);
    return true;
  }
  const char *reason = llhttp_get_error_reason(&request->parser);
  request_fail(request, code == HPE_INVALID_METHOD ? 501 : 400, reason && *reason ? reason : llhttp_errno_name(code));
  return false;
}

/* A Host may be empty, but holds nothing that no authority holds (RFC 9110, 7.2). */
static bool is_host(struct http_slice value) {
  for (size_t i = 0; i < value.size; i++)
    if (!is_alphanumeric(value.bytes[i]) && !is_one_of(value.bytes[i], "-._~%!$&'()*+;=:[]"))
      return false;
  return true;
}

static const char *check_target(const struct http_request *request) {
  bool is_connect = http_slice_is(request->method, "connect");
  if (is_connect != (request->parser.method == HTTP_CONNECT))
    return "methods are written in capitals";
  char first = request->target.bytes[0];
  if (first == '*')
    return request->target.size == 1 && request->parser.method == HTTP_OPTIONS ? NULL
                                                                               : "\"*\" is a target of OPTIONS only";
  return is_connect && is_one_of(first, "/") ? "the target of CONNECT is not host:port" : NULL;
}

/* What RFC 9112 asks for (3.2, 6.1, 6.3), and llhttp does not look at. 0, or the status to answer with. */
static unsigned check_fields(struct http_request *request, const char **reason) {
  size_t hosts = 0, lengths = 0, encodings = 0;
  bool only_chunked = true;
  for (size_t i = 0; i < request->field_count; i++) {
    const struct http_field *field = &request->fields[i];
    if (http_slice_is(field->name, "host")) {
      hosts++;
      if (!is_host(field->value)) {
        *reason = "the Host has characters that no host has";
        return 400;
      }
    } else if (http_slice_is(field->name, "content-length")) {
      lengths++;
    } else if (http_slice_is(field->name, "transfer-encoding")) {
      encodings++;
      only_chunked = only_chunked && http_slice_is(field->value, "chunked");
    } else if (http_slice_is(field->name, "expect")) {
      request->expect_continue = request->minor > 0 && http_slice_is(field->value, "100-continue");
    }
  }
  if (hosts > 1 || (hosts == 0 && request->minor > 0))
    *reason = hosts ? "more than one Host" : "HTTP/1.1 without a Host";
  else if (lengths > 1)
    *reason = "more than one Content-Length";
  else if (lengths > 0 && encodings > 0)
    *reason = "Transfer-Encoding beside Content-Length";
  else if (encodings > 0 && request->minor == 0)
    *reason = "Transfer-Encoding in HTTP/1.0";
  else if (encodings > 1)
    *reason = "more than one Transfer-Encoding";
  else if (encodings > 0 && !request->chunked)
    *reason = "a Transfer-Encoding that is not chunked in the end";
  else
    *reason = check_target(request);
  if (*reason)
    return 400;
  if (!only_chunked) {
    *reason = "the only transfer coding known here is chunked";
    return 501;
  }
  return 0;
}

static enum http_event finish_head(struct http_request *request) {
  const char *head = (const char *)buffer_bytes(request->head);
  size_t size = buffer_size(request->head), used;
  request->field_capacity = request->lines - 1;
  if (request->field_capacity > request->field_space) {
    free(request->field_room);
    request->field_room = malloc(request->field_capacity * sizeof *request->field_room);
    request->field_space = request->field_room ? request->field_capacity : 0;
    if (!request->field_room)
      return request_fail(request, 503, "no memory left");
  }
  assert(request->target.size > 0);
  request->method.bytes = head; /* the buffer may have moved since the request line was judged */
  request->target.bytes = head + request->method.size + 1;
  if (!request_run(request, head, size, &used))
    return HTTP_EVENT_ERROR;
  if (used != size)
    return request_fail(request, 400, "the head ends before its empty line");
  request->fields = request->field_room;

  const char *reason = NULL;
  unsigned status = check_fields(request, &reason);
  if (status)
    return request_fail(request, status, reason);
  if (request->length > request->options.max_body)
    return request_fail(request, 413, "the body is larger than is allowed here");
  request->phase = HEAD_TOLD;
  return HTTP_EVENT_HEAD;
}

/* Whether a control character is among eight bytes: each is looked at in its own part of the number. */
static bool has_control(const char *bytes) {
  const uint64_t ones = UINT64_MAX / 255, highest = ones * 0x80;
  uint64_t word;
  memcpy(&word, bytes, sizeof word);
  uint64_t deletes = word ^ ones * 0x7f;
  return (((word - ones * ' ') & ~word) | ((deletes - ones) & ~deletes)) & highest;
}

/* How many bytes of these change nothing within a line. */
static size_t plain_run(const char *bytes, size_t size) {
  size_t run = 0;
  while (size - run >= sizeof(uint64_t) && !has_control(bytes + run))
    run += sizeof(uint64_t);
  while (run < size && (unsigned char)bytes[run] >= ' ' && bytes[run] != 0x7f)
    run++;
  return run;
}

/* Scans up to the end of the next line, or of what is there. */
static bool scan_line(struct http_request *request, const char *bytes, size_t size, size_t *taken) {
  size_t most = request->options.max_fields + (request->phase == IN_HEAD ? 1 : 0);
  for (*taken = 0; *taken < size;) {
    if (request->scan_state == IN_LINE) {
      size_t room = request->options.max_head - request->scanned, left = size - *taken;
      size_t run = plain_run(bytes + *taken, left < room ? left : room);
      request->scanned += run;
      *taken += run;
      if (run == left)
        break;
    }
    if (request->scanned == request->options.max_head) {
      if (request->phase == IN_HEAD && request->lines == 0)
        request_fail(request, 414, "the request line is longer than is allowed here");
      else
        request_fail(request, 431, "the header fields are larger than is allowed here");
      return false;
    }
    request->scanned++;
    const char *fault = scan_byte(request, bytes[(*taken)++]);
    if (fault) {
      request_fail(request, 400, fault);
      return false;
    }
    if (request->lines > most) {
      request_fail(request, 431, "more header fields than are allowed here");
      return false;
    }
    if (request->scan_state == LINE_START || request->scan_state == BEFORE_HEAD || request->scan_state == SCANNED)
      break;
  }
  return true;
}

static enum http_event feed_head(struct http_request *request, const char *bytes, size_t size, size_t *consumed) {
  while (*consumed < size) {
    const char *line = bytes + *consumed;
    size_t taken;
    bool in_order = scan_line(request, line, size - *consumed, &taken);
    *consumed += taken;
    if (!in_order)
      return HTTP_EVENT_ERROR;
    if (request->scan_state == BEFORE_HEAD || request->scan_state == BEFORE_HEAD_CR)
      continue; /* empty lines in front go nowhere (RFC 9112, 2.2) */
    if (buffer_append(&request->head, line, taken) != 0)
      return request_fail(request, 503, "no memory left");
    if (request->scan_state == SCANNED)
      return finish_head(request);
    if (request->lines == 1 && request->scan_state == LINE_START &&
        !check_request_line(request, buffer_size(request->head) - 2))
      return HTTP_EVENT_ERROR;
  }
  return HTTP_EVENT_MORE;
}

/* One run of llhttp. Chunk framing may not go on for ever without a body: extensions have no limit of their own. It
 * counts against the body that was before it, or the answer would depend on how the bytes were cut. */
static bool run_body(struct http_request *request, const char *bytes, size_t size, size_t *consumed) {
  size_t used;
  uint64_t before = request->body_size;
  bool in_order = request_run(request, bytes, size, &used);
  *consumed += used;
  if (!in_order)
    return false;
  if (request->chunked)
    request->framing += used - request->body.size;
  if (request->framing > request->options.max_head &&
      (request->framing - request->options.max_head) / FRAMING_PER_BYTE > before) {
    request_fail(request, 400, "more chunk framing than body");
    return false;
  }
  if (request->body_size > request->options.max_body) {
    request_fail(request, 413, "the body is larger than is allowed here");
    return false;
  }
  return true;
}

static bool run_trailers(struct http_request *request, const char *bytes, size_t size, size_t *consumed) {
  size_t taken, used;
  if (!scan_line(request, bytes, size, &taken)) {
    *consumed += taken;
    return false;
  }
  *consumed += taken;
  if (!request_run(request, bytes, taken, &used))
    return false;
  /* At the end llhttp pauses for the chunk first, then for the message. */
  if (request->scan_state == SCANNED && !request->message_complete && used == taken &&
      !request_run(request, bytes + taken, 0, &used))
    return false;
  if ((used != taken && used != 0) || (request->scan_state == SCANNED) != request->message_complete) {
    request_fail(request, 400, "the trailers do not end with an empty line");
    return false;
  }
  return true;
}

static enum http_event feed_body(struct http_request *request, const char *bytes, size_t size, size_t *consumed) {
  for (;;) {
    if (request->body.size > 0)
      return HTTP_EVENT_BODY;
    if (request->message_complete) {
      request->phase = COMPLETE_TOLD;
      return HTTP_EVENT_COMPLETE;
    }
    if (*consumed == size)
      return HTTP_EVENT_MORE;
    const char *rest = bytes + *consumed;
    if (!(request->phase == IN_TRAILERS ? run_trailers : run_body)(request, rest, size - *consumed, consumed))
      return HTTP_EVENT_ERROR;
  }
}

static void request_begin(struct http_request *request) {
  const struct http_request_options options = request->options;
  struct buffer *head = request->head;
  struct http_field *field_room = request->field_room;
  size_t field_space = request->field_space;
  if (buffer_size(head) > KEPT_HEAD) { /* what an ordinary request needs stays for the next one */
    buffer_free(head);
    head = NULL;
  } else if (head != NULL) {
    buffer_consume(head, buffer_size(head));
  }
  memset(request, 0, sizeof *request);
  request->options = options;
  request->head = head;
  request->field_room = field_room;
  request->field_space = field_space;
  request->phase = IN_HEAD;
  request->scan_state = BEFORE_HEAD;
  llhttp_init(&request->parser, HTTP_REQUEST, &settings);
  request->parser.data = request;
}

void http_request_init(struct http_request *request, const struct http_request_options *options) {
  *request = (struct http_request){.options = options ? *options : (struct http_request_options){0}};
  if (request->options.max_head == 0)
    request->options.max_head = HTTP_MAX_HEAD;
  if (request->options.max_fields == 0)
    request->options.max_fields = HTTP_MAX_FIELDS;
  if (request->options.max_body == 0)
    request->options.max_body = UINT64_MAX;
  request_begin(request);
}

void http_request_deinit(struct http_request *request) {
  buffer_free(request->head);
  free(request->field_room);
  *request = (struct http_request){.phase = BROKEN, .reason = "released"};
}

bool http_request_is_idle(const struct http_request *request) {
  return request->phase == COMPLETE_TOLD || (request->phase == IN_HEAD && request->scan_state <= BEFORE_HEAD_CR);
}

enum http_event http_request_feed(struct http_request *request, const void *bytes, size_t size, size_t *consumed) {
  *consumed = 0;
  request->body = (struct http_slice){0};
  switch ((enum phase)request->phase) {
  case BROKEN:
    return HTTP_EVENT_ERROR;
  case COMPLETE_TOLD:
    request_begin(request);
    return feed_head(request, bytes, size, consumed);
  case IN_HEAD:
    return feed_head(request, bytes, size, consumed);
  case HEAD_TOLD:
    request->phase = IN_BODY;
    return feed_body(request, bytes, size, consumed);
  case IN_BODY:
  case IN_TRAILERS:
    break;
  }
  return feed_body(request, bytes, size, consumed);
}
