/* SPDX-License-Identifier: MIT
 *
 * Any bytes as the beginning of a connection on a TLS port: fed whole, byte by byte, and in pieces they have to read
 * the same, and what is accepted has to keep what the parser promises about it. The first byte chooses how the input is
 * cut, and whether the rest is the bytes of the wire or a handshake message to be put into records (which the fuzzer
 * would rarely get right). */
#include "tls/client_hello.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD_HEADER_SIZE = 5 };

static void check(bool holds) {
  if (!holds)
    abort();
}

static void check_alpn(const struct client_hello *hello) {
  size_t at = 0;
  check(hello->alpn_size <= sizeof hello->alpn);
  while (at < hello->alpn_size) {
    check(hello->alpn[at] > 0);
    at += 1U + hello->alpn[at];
  }
  check(at == hello->alpn_size);
}

static void check_result(const struct client_hello *hello) {
  if (hello->status == CLIENT_HELLO_REFUSED) {
    check(hello->fault != HELLO_FINE && strlen(client_hello_text(hello->fault)) > 0);
    check(client_hello_alert(hello->fault) != 0 || hello->fault == HELLO_PLAIN_HTTP);
  }
  if (hello->status != CLIENT_HELLO_COMPLETE)
    return;
  check(hello->fault == HELLO_FINE && hello->versions <= (TLS_1_0 | TLS_1_1 | TLS_1_2 | TLS_1_3));
  size_t length = strlen(hello->server_name);
  check(length <= SERVER_NAME_MAX && (length > 0) == hello->has_server_name);
  for (size_t i = 0; i < length; i++)
    check(strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.", hello->server_name[i]) != NULL);
  check(length == 0 || (hello->server_name[0] != '.' && hello->server_name[length - 1] != '.'));
  check_alpn(hello);
}

/* From a copy that ends where the piece ends, so that the sanitizer sees what is read beyond it. */
static void read_in_pieces(struct client_hello *hello, const uint8_t *bytes, size_t size, size_t piece) {
  uint8_t *copy = malloc(piece);
  check(copy != NULL);
  client_hello_init(hello);
  for (size_t at = 0; at < size; at += piece) {
    size_t left = size - at, part = left < piece ? left : piece;
    memcpy(copy + piece - part, bytes + at, part);
    client_hello_feed(hello, copy + piece - part, part);
  }
  free(copy);
  check_result(hello);
}

static void check_same(const struct client_hello *a, const struct client_hello *b) {
  check(a->status == b->status && a->fault == b->fault);
  if (a->status == CLIENT_HELLO_COMPLETE)
    check(a->versions == b->versions && a->has_ech == b->has_ech && strcmp(a->server_name, b->server_name) == 0 &&
          a->alpn_size == b->alpn_size && memcmp(a->alpn, b->alpn, a->alpn_size) == 0);
}

/* The same whatever it is cut into: what it says. */
static struct client_hello read_bytes(const uint8_t *bytes, size_t size, size_t piece) {
  struct client_hello whole, again;
  read_in_pieces(&whole, bytes, size, size);
  read_in_pieces(&again, bytes, size, 1);
  check_same(&whole, &again);
  read_in_pieces(&again, bytes, size, piece);
  check_same(&whole, &again);
  return whole;
}

static struct client_hello read_records(const uint8_t *message, size_t size, size_t record, size_t piece) {
  uint8_t *bytes = malloc(size * (RECORD_HEADER_SIZE + 1));
  check(bytes != NULL);
  size_t end = 0;
  for (size_t at = 0; at < size; at += record) {
    size_t left = size - at, part = left < record ? left : record;
    const uint8_t header[RECORD_HEADER_SIZE] = {22, 3, 1, (uint8_t)(part >> 8), (uint8_t)part};
    memcpy(bytes + end, header, sizeof header);
    memcpy(bytes + end + sizeof header, message + at, part);
    end += sizeof header + part;
  }
  struct client_hello hello = read_bytes(bytes, end, piece);
  free(bytes);
  return hello;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  if (size < 2)
    return 0;
  size_t piece = (bytes[0] & 0x7f) + 1;
  if (!(bytes[0] & 0x80)) {
    read_bytes(bytes + 1, size - 1, piece);
    return 0;
  }
  struct client_hello large = read_records(bytes + 1, size - 1, 1 << 14, piece);
  struct client_hello small = read_records(bytes + 1, size - 1, piece, piece);
  check_same(&large, &small);
  return 0;
}
