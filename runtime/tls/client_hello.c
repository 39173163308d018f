/* SPDX-License-Identifier: MIT
 *
 * A machine of two levels: records, whose fragments it strings together, and the message, which is a sequence of
 * numbers and runs of bytes. A number is only begun, and a run only accepted, when the lengths around it have room for
 * it; so every fault shows at the first byte that makes it certain. */
#include "tls/client_hello_private.h"

#include <string.h>

enum {
  RECORD_HEADER_SIZE = 5,
  RECORD_MAX = 1 << 14,
  RECORD_HANDSHAKE = 22,
  MESSAGE_HEADER_SIZE = 4,
  MESSAGE_CLIENT_HELLO = 1,
  RANDOM_SIZE = 32,
  SESSION_MAX = 32,
  VERSION_TLS_1_2 = 0x0303,
};

static void client_hello_finish_run(struct client_hello *hello);

void client_hello_refuse(struct client_hello *hello, enum client_hello_fault fault) {
  hello->fault = fault;
  hello->status = CLIENT_HELLO_REFUSED;
}

/* What the innermost length that is open has room for. */
static uint32_t room(const struct client_hello *hello) {
  return hello->in_extension ? hello->extension_left : hello->message_left;
}

void client_hello_begin_number(struct client_hello *hello, enum field field, uint8_t width) {
  hello->field = (uint8_t)field;
  hello->number = 0;
  hello->width = width;
  if (width > room(hello))
    client_hello_refuse(hello, HELLO_LENGTH);
}

void client_hello_begin_run(struct client_hello *hello, enum field field, uint32_t size) {
  hello->field = (uint8_t)field;
  hello->width = 0;
  hello->run = size;
  if (size > room(hello))
    client_hello_refuse(hello, HELLO_LENGTH);
  else if (size == 0)
    client_hello_finish_run(hello);
}

static void take_legacy_version(struct client_hello *hello) {
  if (hello->number <= VERSION_SSL_3) { /* RFC 7568, section 3 */
    client_hello_refuse(hello, HELLO_SSL_3);
    return;
  }
  /* Greater ones mean TLS 1.2 (RFC 8446, section 4.1.2). */
  hello->versions = client_hello_version_bit(hello->number < VERSION_TLS_1_2 ? hello->number : VERSION_TLS_1_2);
  client_hello_begin_run(hello, FIELD_RANDOM, RANDOM_SIZE);
}

static void finish_header_number(struct client_hello *hello) {
  uint32_t number = hello->number;
  switch (hello->field) {
  case FIELD_TYPE:
    if (number != MESSAGE_CLIENT_HELLO)
      client_hello_refuse(hello, HELLO_OTHER_MESSAGE);
    else
      client_hello_begin_number(hello, FIELD_LENGTH, 3);
    break;
  case FIELD_LENGTH:
    hello->message_left = number;
    if (number > CLIENT_HELLO_MAX - MESSAGE_HEADER_SIZE)
      client_hello_refuse(hello, HELLO_TOO_LARGE);
    else
      client_hello_begin_number(hello, FIELD_VERSION, 2);
    break;
  case FIELD_VERSION:
    take_legacy_version(hello);
    break;
  case FIELD_SESSION_LENGTH:
    if (number > SESSION_MAX)
      client_hello_refuse(hello, HELLO_LENGTH);
    else
      client_hello_begin_run(hello, FIELD_SESSION, number);
    break;
  case FIELD_SUITES_LENGTH:
    if (number == 0 || number % 2)
      client_hello_refuse(hello, HELLO_LENGTH);
    else
      client_hello_begin_run(hello, FIELD_SUITES, number);
    break;
  case FIELD_COMPRESSION_LENGTH:
    if (number == 0)
      client_hello_refuse(hello, HELLO_LENGTH);
    else
      client_hello_begin_run(hello, FIELD_COMPRESSION, number);
    break;
  default: /* FIELD_EXTENSIONS_LENGTH */
    if (number != hello->message_left)
      client_hello_refuse(hello, HELLO_LENGTH);
    else
      client_hello_next_extension(hello);
  }
}

static void finish_header_run(struct client_hello *hello) {
  switch (hello->field) {
  case FIELD_RANDOM:
    client_hello_begin_number(hello, FIELD_SESSION_LENGTH, 1);
    break;
  case FIELD_SESSION:
    client_hello_begin_number(hello, FIELD_SUITES_LENGTH, 2);
    break;
  case FIELD_SUITES:
    client_hello_begin_number(hello, FIELD_COMPRESSION_LENGTH, 1);
    break;
  default:                        /* FIELD_COMPRESSION */
    if (hello->message_left == 0) /* a hello without extensions ends here (RFC 5246, section 7.4.1.2) */
      hello->status = CLIENT_HELLO_COMPLETE;
    else
      client_hello_begin_number(hello, FIELD_EXTENSIONS_LENGTH, 2);
    break;
  }
}

static void finish_number(struct client_hello *hello) {
  if (hello->field < FIELD_EXTENSION_TYPE)
    finish_header_number(hello);
  else
    client_hello_finish_extension_number(hello);
}

static void client_hello_finish_run(struct client_hello *hello) {
  if (hello->field < FIELD_EXTENSION_TYPE)
    finish_header_run(hello);
  else
    client_hello_finish_extension_run(hello);
}

static void count(struct client_hello *hello, size_t size) {
  hello->message_left -= (uint32_t)size;
  if (hello->in_extension)
    hello->extension_left -= (uint32_t)size;
}

/* Bytes of one fragment: how many were taken, which are all unless it has come to an end. */
static size_t feed_message(struct client_hello *hello, const uint8_t *bytes, size_t size) {
  size_t at = 0;
  while (at < size && hello->status == CLIENT_HELLO_MORE) {
    if (hello->width > 0) {
      hello->number = hello->number << 8 | bytes[at++];
      count(hello, 1);
      if (--hello->width == 0)
        finish_number(hello);
      continue;
    }
    size_t taken = size - at < hello->run ? size - at : hello->run;
    client_hello_keep_run(hello, bytes + at, taken);
    at += taken;
    count(hello, taken);
    hello->run -= (uint32_t)taken;
    if (hello->run == 0)
      client_hello_finish_run(hello);
  }
  return at;
}

/* What begins with another byte than a record of the handshake. */
static void feed_opening(struct client_hello *hello) {
  static const char *const methods[] = {"GET ",   "POST ",    "HEAD ",  "PUT ",   "DELETE ",
                                        "PATCH ", "OPTIONS ", "TRACE ", "PRI * ", "CONNECT "};
  enum { SSL_2_OPENING = 5, SSL_2_CLIENT_HELLO = 1 };
  const uint8_t *bytes = hello->header;
  size_t size = hello->header_size;
  for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
    size_t length = strlen(methods[i]);
    if (memcmp(bytes, methods[i], size < length ? size : length) == 0) {
      if (size >= length)
        client_hello_refuse(hello, HELLO_PLAIN_HTTP);
      return;
    }
  }
  /* RFC 5246, appendix E.2: a length with its highest bit set, the type, the version. */
  bool may_be = bytes[0] & 0x80 && (size < 3 || bytes[2] == SSL_2_CLIENT_HELLO) &&
                (size < 4 || bytes[3] == 3 || bytes[3] == 0) && (size < 5 || bytes[3] == 3 || bytes[4] == 2);
  if (!may_be)
    client_hello_refuse(hello, HELLO_NOT_TLS);
  else if (size == SSL_2_OPENING)
    client_hello_refuse(hello, HELLO_SSL_2);
}

static void feed_header(struct client_hello *hello, uint8_t byte) {
  uint8_t *header = hello->header;
  header[hello->header_size++] = byte;
  if (!hello->is_tls && header[0] != RECORD_HANDSHAKE) {
    feed_opening(hello);
    return;
  }
  if (hello->header_size == 1 && byte != RECORD_HANDSHAKE)
    client_hello_refuse(hello, HELLO_RECORD_TYPE);
  if (hello->header_size == 2 && byte != 3)
    client_hello_refuse(hello, HELLO_RECORD_VERSION);
  if (hello->header_size < RECORD_HEADER_SIZE)
    return;
  hello->is_tls = true;
  hello->header_size = 0;
  hello->record_left = (uint32_t)header[3] << 8 | header[4];
  if (hello->record_left == 0)
    client_hello_refuse(hello, HELLO_RECORD_EMPTY);
  else if (hello->record_left > RECORD_MAX)
    client_hello_refuse(hello, HELLO_RECORD_TOO_LONG);
}

void client_hello_init(struct client_hello *hello) {
  *hello = (struct client_hello){.message_left = MESSAGE_HEADER_SIZE};
  client_hello_begin_number(hello, FIELD_TYPE, 1);
}

enum client_hello_status client_hello_feed(struct client_hello *hello, const void *bytes, size_t size) {
  const uint8_t *byte = bytes, *end = byte + size;
  while (byte < end && hello->status == CLIENT_HELLO_MORE) {
    if (hello->record_left == 0) {
      feed_header(hello, *byte++);
      continue;
    }
    size_t left = (size_t)(end - byte);
    size_t taken = feed_message(hello, byte, left < hello->record_left ? left : hello->record_left);
    byte += taken;
    hello->record_left -= (uint32_t)taken;
  }
  return hello->status;
}

bool client_hello_is_plain(const struct client_hello *hello) {
  return !hello->is_tls && hello->header[0] != RECORD_HANDSHAKE && hello->fault != HELLO_SSL_2;
}

enum alert_description client_hello_alert(enum client_hello_fault fault) {
  static const uint8_t alerts[] = {
#define X(name, alert, text) [name] = alert,
      CLIENT_HELLO_FAULTS(X)
#undef X
  };
  return (enum alert_description)alerts[fault];
}

const char *client_hello_text(enum client_hello_fault fault) {
  static const char *const texts[] = {
#define X(name, alert, text) [name] = text,
      CLIENT_HELLO_FAULTS(X)
#undef X
  };
  return texts[fault];
}
