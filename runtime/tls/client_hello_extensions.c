/* SPDX-License-Identifier: MIT
 *
 * The extensions of a ClientHello: those that a route is chosen by are read, the others passed over. How bytes come to
 * be numbers and runs, and what stands before the extensions, is in client_hello.c. */
#include "tls/client_hello_private.h"

#include <arpa/inet.h>
#include <string.h>

enum { NAME_TYPE_HOST = 0 };

enum { EXTENSION_SERVER_NAME = 0, EXTENSION_ALPN = 16, EXTENSION_VERSIONS = 43, EXTENSION_ECH = 0xfe0d };

void client_hello_next_extension(struct client_hello *hello) {
  hello->in_extension = false;
  if (hello->message_left == 0)
    hello->status = CLIENT_HELLO_COMPLETE;
  else
    client_hello_begin_number(hello, FIELD_EXTENSION_TYPE, 2);
}

/* An item of a list has ended: another, or the end of the extension, which its list has to fill. */
static void next_item(struct client_hello *hello, enum field field, uint8_t width) {
  if (hello->extension_left == 0)
    client_hello_next_extension(hello);
  else
    client_hello_begin_number(hello, field, width);
}

static void begin_list(struct client_hello *hello, enum field field, uint8_t width) {
  if (hello->number != hello->extension_left || hello->number == 0)
    client_hello_refuse(hello, HELLO_LENGTH);
  else
    client_hello_begin_number(hello, field, width);
}

unsigned client_hello_version_bit(uint32_t version) {
  return version > VERSION_SSL_3 && version <= VERSION_SSL_3 + 4 ? 1U << (version - VERSION_SSL_3 - 1) : 0;
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
    client_hello_refuse(hello, HELLO_LENGTH);
    return;
  }
  if (is_duplicate(hello)) {
    client_hello_refuse(hello, HELLO_DUPLICATE);
    return;
  }
  hello->in_extension = true;
  hello->extension_left = size;
  switch (hello->extension) {
  case EXTENSION_SERVER_NAME:
    client_hello_begin_number(hello, FIELD_NAMES_LENGTH, 2);
    break;
  case EXTENSION_VERSIONS:
    hello->versions = 0;
    client_hello_begin_number(hello, FIELD_VERSIONS_LENGTH, 1);
    break;
  case EXTENSION_ALPN:
    client_hello_begin_number(hello, FIELD_ALPN_LENGTH, 2);
    break;
  default:
    hello->has_ech = hello->has_ech || hello->extension == EXTENSION_ECH;
    client_hello_begin_run(hello, FIELD_EXTENSION, size);
  }
}

static void begin_name(struct client_hello *hello) {
  if (hello->number == 0) {
    client_hello_refuse(hello, HELLO_LENGTH);
  } else if (hello->name_size > 0) {
    client_hello_refuse(hello, HELLO_TWO_NAMES);
  } else if (hello->number > SERVER_NAME_MAX) {
    client_hello_refuse(hello, HELLO_BAD_NAME);
  } else {
    client_hello_begin_run(hello, FIELD_NAME, hello->number);
  }
}

static void begin_protocol(struct client_hello *hello) {
  if (hello->number == 0) {
    client_hello_refuse(hello, HELLO_LENGTH);
    return;
  }
  bool fits = hello->alpn_size + 1 + hello->number <= sizeof hello->alpn && hello->number <= hello->extension_left;
  if (fits)
    hello->alpn[hello->alpn_size++] = (uint8_t)hello->number;
  client_hello_begin_run(hello, fits ? FIELD_PROTOCOL : FIELD_EXTENSION, hello->number);
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
static void take_server_name(struct client_hello *hello) {
  char *name = hello->server_name;
  size_t size = hello->name_size;
  if (size > 1 && name[size - 1] == '.')
    size--;
  name[size] = '\0';
  hello->has_server_name = strlen(name) != size || !is_address(name);
  if (hello->has_server_name && !is_host_name(name, size)) {
    client_hello_refuse(hello, HELLO_BAD_NAME);
    return;
  }
  if (!hello->has_server_name)
    name[0] = '\0';
  next_item(hello, FIELD_NAME_TYPE, 1);
}

void client_hello_finish_extension_number(struct client_hello *hello) {
  switch (hello->field) {
  case FIELD_EXTENSION_TYPE:
    hello->extension = (uint16_t)hello->number;
    client_hello_begin_number(hello, FIELD_EXTENSION_LENGTH, 2);
    break;
  case FIELD_EXTENSION_LENGTH:
    begin_extension(hello);
    break;
  case FIELD_NAMES_LENGTH:
    begin_list(hello, FIELD_NAME_TYPE, 1);
    break;
  case FIELD_NAME_TYPE:
    /* Names of types to come begin with a length as well (RFC 6066, section 3). */
    client_hello_begin_number(hello, hello->number == NAME_TYPE_HOST ? FIELD_NAME_LENGTH : FIELD_OTHER_NAME_LENGTH, 2);
    break;
  case FIELD_NAME_LENGTH:
    begin_name(hello);
    break;
  case FIELD_OTHER_NAME_LENGTH:
    client_hello_begin_run(hello, FIELD_OTHER_NAME, hello->number);
    break;
  case FIELD_VERSIONS_LENGTH:
    begin_list(hello, FIELD_ONE_VERSION, 2);
    break;
  case FIELD_ONE_VERSION:
    hello->versions |= client_hello_version_bit(hello->number);
    next_item(hello, FIELD_ONE_VERSION, 2);
    break;
  case FIELD_ALPN_LENGTH:
    begin_list(hello, FIELD_PROTOCOL_LENGTH, 1);
    break;
  default: /* FIELD_PROTOCOL_LENGTH */
    begin_protocol(hello);
  }
}

void client_hello_finish_extension_run(struct client_hello *hello) {
  switch (hello->field) {
  case FIELD_NAME:
    take_server_name(hello);
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

void client_hello_keep_run(struct client_hello *hello, const uint8_t *bytes, size_t size) {
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
