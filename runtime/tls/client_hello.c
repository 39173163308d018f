/* SPDX-License-Identifier: MIT
 *
 * A machine of two levels: records, whose fragments it strings together, and the message, which is a sequence of
 * numbers and runs of bytes. A number is only begun, and a run only accepted, when the lengths around it have room for
 * it; so every fault shows at the first byte that makes it certain. */
#include "tls/client_hello.h"

#include <arpa/inet.h>
#include <string.h>

enum {
  RECORD_HEADER_SIZE = 5,
  RECORD_MAX = 1 << 14,
  RECORD_HANDSHAKE = 22,
  MESSAGE_HEADER_SIZE = 4,
  MESSAGE_CLIENT_HELLO = 1,
  RANDOM_SIZE = 32,
  SESSION_MAX = 32,
  VERSION_SSL_3 = 0x0300,
  VERSION_TLS_1_2 = 0x0303,
  NAME_TYPE_HOST = 0,
};

enum { EXTENSION_SERVER_NAME = 0, EXTENSION_ALPN = 16, EXTENSION_VERSIONS = 43, EXTENSION_ECH = 0xfe0d };

/* Numbers and runs, in the order of the message. */
enum field {
  FIELD_TYPE,
  FIELD_LENGTH,
  FIELD_VERSION,
  FIELD_RANDOM,
  FIELD_SESSION_LENGTH,
  FIELD_SESSION,
  FIELD_SUITES_LENGTH,
  FIELD_SUITES,
  FIELD_COMPRESSION_LENGTH,
  FIELD_COMPRESSION,
  FIELD_EXTENSIONS_LENGTH,
  FIELD_EXTENSION_TYPE,
  FIELD_EXTENSION_LENGTH,
  FIELD_EXTENSION,
  FIELD_NAMES_LENGTH,
  FIELD_NAME_TYPE,
  FIELD_NAME_LENGTH,
  FIELD_NAME,
  FIELD_OTHER_NAME_LENGTH,
  FIELD_OTHER_NAME,
  FIELD_VERSIONS_LENGTH,
  FIELD_ONE_VERSION,
  FIELD_ALPN_LENGTH,
  FIELD_PROTOCOL_LENGTH,
  FIELD_PROTOCOL,
};

static void finish_number(struct client_hello *hello);
static void finish_run(struct client_hello *hello);

static void refuse(struct client_hello *hello, enum client_hello_fault fault) {
  hello->fault = fault;
  hello->status = CLIENT_HELLO_REFUSED;
}

/* What the innermost length that is open has room for. */
static uint32_t room(const struct client_hello *hello) {
  return hello->in_extension ? hello->extension_left : hello->message_left;
}

static void begin_number(struct client_hello *hello, enum field field, uint8_t width) {
  hello->field = (uint8_t)field;
  hello->number = 0;
  hello->width = width;
  if (width > room(hello))
    refuse(hello, HELLO_LENGTH);
}

static void begin_run(struct client_hello *hello, enum field field, uint32_t size) {
  hello->field = (uint8_t)field;
  hello->width = 0;
  hello->run = size;
  if (size > room(hello))
    refuse(hello, HELLO_LENGTH);
  else if (size == 0)
    finish_run(hello);
}

static void next_extension(struct client_hello *hello) {
  hello->in_extension = false;
  if (hello->message_left == 0)
    hello->status = CLIENT_HELLO_COMPLETE;
  else
    begin_number(hello, FIELD_EXTENSION_TYPE, 2);
}

/* An item of a list has ended: another, or the end of the extension, which its list has to fill. */
static void next_item(struct client_hello *hello, enum field field, uint8_t width) {
  if (hello->extension_left == 0)
    next_extension(hello);
  else
    begin_number(hello, field, width);
}

static void begin_list(struct client_hello *hello, enum field field, uint8_t width) {
  if (hello->number != hello->extension_left || hello->number == 0)
    refuse(hello, HELLO_LENGTH);
  else
    begin_number(hello, field, width);
}

static unsigned version_bit(uint32_t version) {
  return version > VERSION_SSL_3 && version <= VERSION_SSL_3 + 4 ? 1U << (version - VERSION_SSL_3 - 1) : 0;
}

static void take_legacy_version(struct client_hello *hello) {
  if (hello->number <= VERSION_SSL_3) { /* RFC 7568, section 3 */
    refuse(hello, HELLO_SSL_3);
    return;
  }
  /* Greater ones mean TLS 1.2 (RFC 8446, section 4.1.2). */
  hello->versions = version_bit(hello->number < VERSION_TLS_1_2 ? hello->number : VERSION_TLS_1_2);
  begin_run(hello, FIELD_RANDOM, RANDOM_SIZE);
}

/* Those that are read, and those with small numbers, which are all that matter. Of one that nobody knows the second is
 * passed over like the first. */
static bool is_duplicate(struct client_hello *hello) {
  enum { ECH_BIT = 63 };
  unsigned bit = hello->extension == EXTENSION_ECH ? ECH_BIT : hello->extension;
  if (bit > ECH_BIT || (bit == ECH_BIT && hello->extension != EXTENSION_ECH))
    return false;
  bool seen = hello->seen >> bit & 1;
  hello->seen |= UINT64_C(1) << bit;
  return seen;
}

static void begin_extension(struct client_hello *hello) {
  uint32_t size = hello->number;
  if (size > hello->message_left) {
    refuse(hello, HELLO_LENGTH);
    return;
  }
  if (is_duplicate(hello)) {
    refuse(hello, HELLO_DUPLICATE);
    return;
  }
  hello->in_extension = true;
  hello->extension_left = size;
  switch (hello->extension) {
  case EXTENSION_SERVER_NAME:
    begin_number(hello, FIELD_NAMES_LENGTH, 2);
    break;
  case EXTENSION_VERSIONS:
    hello->versions = 0;
    begin_number(hello, FIELD_VERSIONS_LENGTH, 1);
    break;
  case EXTENSION_ALPN:
    begin_number(hello, FIELD_ALPN_LENGTH, 2);
    break;
  default:
    hello->has_ech = hello->has_ech || hello->extension == EXTENSION_ECH;
    begin_run(hello, FIELD_EXTENSION, size);
  }
}

static void begin_name(struct client_hello *hello) {
  if (hello->number == 0) {
    refuse(hello, HELLO_LENGTH);
  } else if (hello->name_size > 0) {
    refuse(hello, HELLO_TWO_NAMES);
  } else if (hello->number > SERVER_NAME_MAX) {
    refuse(hello, HELLO_BAD_NAME);
  } else {
    begin_run(hello, FIELD_NAME, hello->number);
  }
}

static void begin_protocol(struct client_hello *hello) {
  if (hello->number == 0) {
    refuse(hello, HELLO_LENGTH);
    return;
  }
  bool fits = hello->alpn_size + 1 + hello->number <= sizeof hello->alpn && hello->number <= hello->extension_left;
  if (fits)
    hello->alpn[hello->alpn_size++] = (uint8_t)hello->number;
  begin_run(hello, fits ? FIELD_PROTOCOL : FIELD_EXTENSION, hello->number);
}

static bool is_address(const char *name) {
  struct in6_addr address;
  return inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1;
}

static bool is_host_name(const char *name, size_t size) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
  return size > 0 && name[0] != '.' && name[size - 1] != '.' && !strstr(name, "..") && strspn(name, allowed) == size;
}

/* In lower case already. */
static void take_name(struct client_hello *hello) {
  char *name = hello->server_name;
  size_t size = hello->name_size;
  if (size > 1 && name[size - 1] == '.')
    size--;
  name[size] = '\0';
  hello->has_server_name = strlen(name) != size || !is_address(name);
  if (hello->has_server_name && !is_host_name(name, size)) {
    refuse(hello, HELLO_BAD_NAME);
    return;
  }
  if (!hello->has_server_name)
    name[0] = '\0';
  next_item(hello, FIELD_NAME_TYPE, 1);
}

static void finish_header_number(struct client_hello *hello) {
  uint32_t number = hello->number;
  switch (hello->field) {
  case FIELD_TYPE:
    if (number != MESSAGE_CLIENT_HELLO)
      refuse(hello, HELLO_OTHER_MESSAGE);
    else
      begin_number(hello, FIELD_LENGTH, 3);
    break;
  case FIELD_LENGTH:
    hello->message_left = number;
    if (number > CLIENT_HELLO_MAX - MESSAGE_HEADER_SIZE)
      refuse(hello, HELLO_TOO_LARGE);
    else
      begin_number(hello, FIELD_VERSION, 2);
    break;
  case FIELD_VERSION:
    take_legacy_version(hello);
    break;
  case FIELD_SESSION_LENGTH:
    if (number > SESSION_MAX)
      refuse(hello, HELLO_LENGTH);
    else
      begin_run(hello, FIELD_SESSION, number);
    break;
  case FIELD_SUITES_LENGTH:
    if (number == 0 || number % 2)
      refuse(hello, HELLO_LENGTH);
    else
      begin_run(hello, FIELD_SUITES, number);
    break;
  case FIELD_COMPRESSION_LENGTH:
    if (number == 0)
      refuse(hello, HELLO_LENGTH);
    else
      begin_run(hello, FIELD_COMPRESSION, number);
    break;
  default: /* FIELD_EXTENSIONS_LENGTH */
    if (number != hello->message_left)
      refuse(hello, HELLO_LENGTH);
    else
      next_extension(hello);
  }
}

static void finish_number(struct client_hello *hello) {
  switch (hello->field) {
  case FIELD_EXTENSION_TYPE:
    hello->extension = (uint16_t)hello->number;
    begin_number(hello, FIELD_EXTENSION_LENGTH, 2);
    break;
  case FIELD_EXTENSION_LENGTH:
    begin_extension(hello);
    break;
  case FIELD_NAMES_LENGTH:
    begin_list(hello, FIELD_NAME_TYPE, 1);
    break;
  case FIELD_NAME_TYPE:
    /* Names of types to come begin with a length as well (RFC 6066, section 3). */
    begin_number(hello, hello->number == NAME_TYPE_HOST ? FIELD_NAME_LENGTH : FIELD_OTHER_NAME_LENGTH, 2);
    break;
  case FIELD_NAME_LENGTH:
    begin_name(hello);
    break;
  case FIELD_OTHER_NAME_LENGTH:
    begin_run(hello, FIELD_OTHER_NAME, hello->number);
    break;
  case FIELD_VERSIONS_LENGTH:
    begin_list(hello, FIELD_ONE_VERSION, 2);
    break;
  case FIELD_ONE_VERSION:
    hello->versions |= version_bit(hello->number);
    next_item(hello, FIELD_ONE_VERSION, 2);
    break;
  case FIELD_ALPN_LENGTH:
    begin_list(hello, FIELD_PROTOCOL_LENGTH, 1);
    break;
  case FIELD_PROTOCOL_LENGTH:
    begin_protocol(hello);
    break;
  default:
    finish_header_number(hello);
  }
}

static void finish_run(struct client_hello *hello) {
  switch (hello->field) {
  case FIELD_RANDOM:
    begin_number(hello, FIELD_SESSION_LENGTH, 1);
    break;
  case FIELD_SESSION:
    begin_number(hello, FIELD_SUITES_LENGTH, 2);
    break;
  case FIELD_SUITES:
    begin_number(hello, FIELD_COMPRESSION_LENGTH, 1);
    break;
  case FIELD_COMPRESSION:
    if (hello->message_left == 0) /* a hello without extensions ends here (RFC 5246, section 7.4.1.2) */
      hello->status = CLIENT_HELLO_COMPLETE;
    else
      begin_number(hello, FIELD_EXTENSIONS_LENGTH, 2);
    break;
  case FIELD_NAME:
    take_name(hello);
    break;
  case FIELD_OTHER_NAME:
    next_item(hello, FIELD_NAME_TYPE, 1);
    break;
  case FIELD_PROTOCOL:
    next_item(hello, FIELD_PROTOCOL_LENGTH, 1);
    break;
  default: /* FIELD_EXTENSION: all of it, or a protocol for which there was no room */
    next_item(hello, FIELD_PROTOCOL_LENGTH, 1);
  }
}

static void keep_run(struct client_hello *hello, const uint8_t *bytes, size_t size) {
  if (hello->field == FIELD_PROTOCOL) {
    memcpy(hello->alpn + hello->alpn_size, bytes, size);
    hello->alpn_size += size;
  } else if (hello->field == FIELD_NAME) {
    for (size_t i = 0; i < size; i++) {
      uint8_t byte = bytes[i];
      hello->server_name[hello->name_size++] = (char)(byte >= 'A' && byte <= 'Z' ? byte - 'A' + 'a' : byte);
    }
  }
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
    keep_run(hello, bytes + at, taken);
    at += taken;
    count(hello, taken);
    hello->run -= (uint32_t)taken;
    if (hello->run == 0)
      finish_run(hello);
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
        refuse(hello, HELLO_PLAIN_HTTP);
      return;
    }
  }
  /* RFC 5246, appendix E.2: a length with its highest bit set, the type, the version. */
  bool may_be = bytes[0] & 0x80 && (size < 3 || bytes[2] == SSL_2_CLIENT_HELLO) &&
                (size < 4 || bytes[3] == 3 || bytes[3] == 0) && (size < 5 || bytes[3] == 3 || bytes[4] == 2);
  if (!may_be)
    refuse(hello, HELLO_NOT_TLS);
  else if (size == SSL_2_OPENING)
    refuse(hello, HELLO_SSL_2);
}

static void feed_header(struct client_hello *hello, uint8_t byte) {
  uint8_t *header = hello->header;
  header[hello->header_size++] = byte;
  if (!hello->is_tls && header[0] != RECORD_HANDSHAKE) {
    feed_opening(hello);
    return;
  }
  if (hello->header_size == 1 && byte != RECORD_HANDSHAKE)
    refuse(hello, HELLO_RECORD_TYPE);
  if (hello->header_size == 2 && byte != 3)
    refuse(hello, HELLO_RECORD_VERSION);
  if (hello->header_size < RECORD_HEADER_SIZE)
    return;
  hello->is_tls = true;
  hello->header_size = 0;
  hello->record_left = (uint32_t)header[3] << 8 | header[4];
  if (hello->record_left == 0)
    refuse(hello, HELLO_RECORD_EMPTY);
  else if (hello->record_left > RECORD_MAX)
    refuse(hello, HELLO_RECORD_TOO_LONG);
}

void client_hello_init(struct client_hello *hello) {
  *hello = (struct client_hello){.message_left = MESSAGE_HEADER_SIZE};
  begin_number(hello, FIELD_TYPE, 1);
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
