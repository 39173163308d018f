/* SPDX-License-Identifier: MIT
 *
 * Strict reading: what the protocol does not say is refused, because a header decides whom a client is taken for. */
#include "net/proxy_protocol.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const uint8_t v2_signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
static const char v1_signature[] = "PROXY ";
static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

enum { V2_LOCAL = 0x20, V2_PROXY = 0x21, V2_TCP4 = 0x11, V2_TCP6 = 0x21, V2_UNSPECIFIED = 0x00 };
enum { V2_ADDRESSES_4 = 12, V2_ADDRESSES_6 = 36, V2_ADDRESSES_UNIX = 216, CRC32C_SIZE = 4 };

static unsigned read_16(const uint8_t *bytes) { return (unsigned)(bytes[0] << 8 | bytes[1]); }

static void header_set_ipv4(struct ip_address *address, const void *bytes, uint16_t port) {
  memcpy(address->bytes, mapped_prefix, sizeof mapped_prefix);
  memcpy(address->bytes + sizeof mapped_prefix, bytes, 4);
  address->port = port;
  address->is_set = true;
}

static void set_ipv6(struct ip_address *address, const void *bytes, uint16_t port) {
  memcpy(address->bytes, bytes, sizeof address->bytes);
  address->port = port;
  address->is_set = true;
}

/* --- version 1 --- */

/* The words of the line, taken one by one; exactly one space stands between them. */
struct line {
  char *at;
};

static const char *next_word(struct line *line) {
  char *word = line->at;
  if (!word)
    return NULL;
  char *space = strchr(word, ' ');
  line->at = space ? space + 1 : NULL;
  if (space)
    *space = '\0';
  return word;
}

/* Decimal without leading zeros (section 2.1). */
static bool read_port(const char *text, uint16_t *port) {
  unsigned number = 0;
  if (!text || !text[0] || (text[0] == '0' && text[1]))
    return false;
  for (const char *at = text; *at; at++) {
    if (*at < '0' || *at > '9' || at - text >= 5)
      return false;
    number = number * 10 + (unsigned)(*at - '0');
  }
  *port = (uint16_t)number;
  return number <= UINT16_MAX;
}

static bool read_header_address(const char *text, int family, uint16_t port, struct ip_address *address) {
  uint8_t bytes[16];
  if (!text || inet_pton(family, text, bytes) != 1)
    return false;
  if (family == AF_INET)
    header_set_ipv4(address, bytes, port);
  else
    set_ipv6(address, bytes, port);
  return true;
}

/* What stands between "PROXY " and the CRLF. */
static bool parse_header_line(char *text, struct proxy_header *header) {
  struct line line = {text};
  const char *protocol = next_word(&line);
  if (strcmp(protocol, "UNKNOWN") == 0)
    return true; /* the rest of the line is to be ignored */
  int family = strcmp(protocol, "TCP4") == 0 ? AF_INET : strcmp(protocol, "TCP6") == 0 ? AF_INET6 : AF_UNSPEC;
  const char *source = next_word(&line), *destination = next_word(&line);
  uint16_t source_port, destination_port;
  if (family == AF_UNSPEC || !read_port(next_word(&line), &source_port) ||
      !read_port(next_word(&line), &destination_port) || line.at ||
      !read_header_address(source, family, source_port, &header->source) ||
      !read_header_address(destination, family, destination_port, &header->destination))
    return false;
  header->has_addresses = true;
  return true;
}

static ssize_t parse_v1(const uint8_t *bytes, size_t size, struct proxy_header *header) {
  enum { SIGNATURE = sizeof v1_signature - 1 };
  if (memcmp(bytes, v1_signature, size < SIGNATURE ? size : SIGNATURE) != 0)
    return PROXY_ABSENT;
  size_t most = size < PROXY_V1_MOST ? size : PROXY_V1_MOST;
  const uint8_t *end = most > SIGNATURE ? memchr(bytes + SIGNATURE, '\r', most - SIGNATURE) : NULL;
  if (!end)
    return size < PROXY_V1_MOST ? PROXY_MORE : PROXY_TOO_LONG;
  size_t length = (size_t)(end - bytes);
  if (length + 1 == PROXY_V1_MOST)
    return PROXY_TOO_LONG;
  if (length + 1 == size)
    return PROXY_MORE;
  char text[PROXY_V1_MOST];
  memcpy(text, bytes + SIGNATURE, length - SIGNATURE);
  text[length - SIGNATURE] = '\0';
  if (bytes[length + 1] != '\n' || strlen(text) != length - SIGNATURE || !parse_header_line(text, header))
    return PROXY_MALFORMED;
  header->version = 1;
  return (ssize_t)length + 2;
}

/* --- version 2 --- */

/* RFC 3720, appendix B.4: the polynomial 0x1EDC6F41, reflected. */
static uint32_t crc32c(uint32_t crc, uint8_t byte) {
  crc ^= byte;
  for (int bit = 0; bit < 8; bit++)
    crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
  return crc;
}

/* Over the whole header, its own value taken as zeros. */
static bool checksum_is_right(const uint8_t *bytes, size_t size, const uint8_t *value) {
  uint32_t crc = UINT32_MAX;
  for (const uint8_t *at = bytes; at < bytes + size; at++)
    crc = crc32c(crc, at >= value && at < value + CRC32C_SIZE ? 0 : *at);
  crc = ~crc;
  uint32_t said = (uint32_t)value[0] << 24 | (uint32_t)value[1] << 16 | (uint32_t)value[2] << 8 | value[3];
  return crc == said;
}

bool proxy_tlv_next(const uint8_t *tlvs, size_t size, size_t *at, struct proxy_tlv *tlv) {
  if (size - *at < PROXY_TLV_HEAD)
    return false;
  tlv->type = tlvs[*at];
  tlv->size = (uint16_t)read_16(tlvs + *at + 1);
  if (size - *at - PROXY_TLV_HEAD < tlv->size)
    return false;
  tlv->value = tlvs + *at + PROXY_TLV_HEAD;
  *at += PROXY_TLV_HEAD + (size_t)tlv->size;
  return true;
}

/* `bytes` hold the whole header. 0, or what is wrong. */
static int check_tlvs(const uint8_t *bytes, size_t size, const struct proxy_header *header) {
  size_t at = 0;
  struct proxy_tlv tlv;
  while (proxy_tlv_next(header->tlvs, header->tlvs_size, &at, &tlv)) {
    if (tlv.type != PROXY_TLV_CRC32C)
      continue;
    if (tlv.size != CRC32C_SIZE)
      return PROXY_MALFORMED;
    if (!checksum_is_right(bytes, size, tlv.value))
      return PROXY_BAD_CRC32C;
  }
  return at == header->tlvs_size ? 0 : PROXY_MALFORMED;
}

enum { V2_UNKNOWN_SIZE = -1 };

/* Bytes of addresses that a family has. Of one that we don't know nobody can say where they end and TLVs begin. */
static int addresses_size(uint8_t family) {
  switch (family) {
  case 0x11:
  case 0x12:
    return V2_ADDRESSES_4;
  case 0x21:
  case 0x22:
    return V2_ADDRESSES_6;
  case 0x31:
  case 0x32:
    return V2_ADDRESSES_UNIX;
  case V2_UNSPECIFIED:
    return 0;
  default:
    return V2_UNKNOWN_SIZE;
  }
}

static void take_addresses(uint8_t family, const uint8_t *at, struct proxy_header *header) {
  if (family == V2_TCP4) {
    header_set_ipv4(&header->source, at, (uint16_t)read_16(at + 8));
    header_set_ipv4(&header->destination, at + 4, (uint16_t)read_16(at + 10));
  } else {
    set_ipv6(&header->source, at, (uint16_t)read_16(at + 32));
    set_ipv6(&header->destination, at + 16, (uint16_t)read_16(at + 34));
  }
  header->has_addresses = true;
}

/* The `size` bytes that stand behind the addresses of a header that is `whole` bytes long. 0, or what is wrong. */
static int take_tlvs(const uint8_t *bytes, size_t whole, size_t size, struct proxy_header *header) {
  bool may_be_addresses =
      bytes[sizeof v2_signature + 1] == V2_UNSPECIFIED; /* some write the client's here all the same: to be ignored */
  header->tlvs = bytes + whole - size;
  header->tlvs_size = size;
  int status = check_tlvs(bytes, whole, header);
  if (!may_be_addresses || (status != PROXY_MALFORMED && header->tlvs[0] != 0)) /* no TLV has the type 0 */
    return status;
  header->tlvs = NULL;
  header->tlvs_size = 0;
  return 0;
}

static ssize_t parse_v2(const uint8_t *bytes, size_t size, struct proxy_header *header) {
  enum { SIGNATURE = sizeof v2_signature };
  if (memcmp(bytes, v2_signature, size < SIGNATURE ? size : SIGNATURE) != 0)
    return PROXY_ABSENT;
  if (size > SIGNATURE && bytes[SIGNATURE] != V2_LOCAL && bytes[SIGNATURE] != V2_PROXY)
    return PROXY_MALFORMED;
  if (size < PROXY_V2_FIXED)
    return PROXY_MORE;
  /* Behind LOCAL everything is to be ignored, the family too (section 2.2). */
  uint8_t family = bytes[SIGNATURE + 1];
  int addresses = bytes[SIGNATURE] == V2_LOCAL ? V2_UNKNOWN_SIZE : addresses_size(family);
  size_t length = read_16(bytes + SIGNATURE + 2);
  if (length > PROXY_TLVS_MOST)
    return PROXY_TOO_LONG;
  if (addresses != V2_UNKNOWN_SIZE && length < (size_t)addresses)
    return PROXY_MALFORMED;
  if (size < PROXY_V2_FIXED + length)
    return PROXY_MORE;
  header->version = 2;
  if (addresses != V2_UNKNOWN_SIZE && (family == V2_TCP4 || family == V2_TCP6))
    take_addresses(family, bytes + PROXY_V2_FIXED, header);
  if (addresses != V2_UNKNOWN_SIZE && length > (size_t)addresses) {
    int status = take_tlvs(bytes, PROXY_V2_FIXED + length, length - (size_t)addresses, header);
    if (status != 0)
      return status;
  }
  return (ssize_t)(PROXY_V2_FIXED + length);
}

ssize_t proxy_header_parse(const uint8_t *bytes, size_t size, struct proxy_header *header) {
  *header = (struct proxy_header){0};
  if (size == 0)
    return PROXY_MORE;
  return bytes[0] == v2_signature[0] ? parse_v2(bytes, size, header) : parse_v1(bytes, size, header);
}

/* --- writing --- */

static bool is_ipv4(const struct ip_address *address) { return ip_address_is_ipv4(address); }

size_t proxy_v1_write(char bytes[PROXY_V1_ROOM], const struct ip_address *source,
                      const struct ip_address *destination) {
  char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
  bool both_ipv4 = is_ipv4(source) && is_ipv4(destination);
  if (!source->is_set || !destination->is_set)
    return (size_t)snprintf(bytes, PROXY_V1_ROOM, "PROXY UNKNOWN\r\n");
  /* An IPv4 address beside an IPv6 one is said as a mapped one: both are of one family in a header. */
  size_t skipped = both_ipv4 ? sizeof mapped_prefix : 0;
  inet_ntop(both_ipv4 ? AF_INET : AF_INET6, source->bytes + skipped, from, sizeof from);
  inet_ntop(both_ipv4 ? AF_INET : AF_INET6, destination->bytes + skipped, to, sizeof to);
  return (size_t)snprintf(bytes, PROXY_V1_ROOM, "PROXY %s %s %s %u %u\r\n", both_ipv4 ? "TCP4" : "TCP6", from, to,
                          source->port, destination->port);
}

static void header_put(struct proxy_writer *writer, const void *bytes, size_t size) {
  if (writer->size + size <= writer->room && size > 0)
    memcpy(writer->bytes + writer->size, bytes, size);
  writer->size += size;
}

static void put_8(struct proxy_writer *writer, unsigned value) { header_put(writer, &(uint8_t){(uint8_t)value}, 1); }

static void put_16(struct proxy_writer *writer, unsigned value) {
  header_put(writer, (uint8_t[]){(uint8_t)(value >> 8), (uint8_t)value}, 2);
}

void proxy_v2_begin(struct proxy_writer *writer, uint8_t *bytes, size_t room, const struct ip_address *source,
                    const struct ip_address *destination) {
  *writer = (struct proxy_writer){.bytes = bytes, .room = room};
  bool known = source->is_set && destination->is_set;
  bool both_ipv4 = is_ipv4(source) && is_ipv4(destination);
  header_put(writer, v2_signature, sizeof v2_signature);
  put_8(writer, known ? V2_PROXY : V2_LOCAL);
  put_8(writer, !known ? V2_UNSPECIFIED : both_ipv4 ? V2_TCP4 : V2_TCP6);
  put_16(writer, 0);
  if (!known)
    return;
  size_t skipped = both_ipv4 ? sizeof mapped_prefix : 0;
  header_put(writer, source->bytes + skipped, sizeof source->bytes - skipped);
  header_put(writer, destination->bytes + skipped, sizeof destination->bytes - skipped);
  put_16(writer, source->port);
  put_16(writer, destination->port);
}

void proxy_v2_add(struct proxy_writer *writer, uint8_t type, const void *value, size_t size) {
  put_8(writer, type);
  put_16(writer, (unsigned)size);
  header_put(writer, value, size);
  if (size > UINT16_MAX)
    writer->size = SIZE_MAX / 2;
}

void proxy_v2_put(struct proxy_writer *writer, const uint8_t *tlvs, size_t size) { header_put(writer, tlvs, size); }

size_t proxy_v2_end(struct proxy_writer *writer) {
  size_t length = writer->size - PROXY_V2_FIXED;
  if (writer->size > writer->room || length > UINT16_MAX)
    return 0;
  writer->bytes[14] = (uint8_t)(length >> 8);
  writer->bytes[15] = (uint8_t)length;
  return writer->size;
}
