/* SPDX-License-Identifier: MIT
 *
 * The PROXY protocol's headers: what is taken, what is refused, and that what is written is read back. */
#include "net/proxy_protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

/* Parses a copy that ends where the bytes end, so that a sanitizer sees what is read beyond them. */
static ssize_t parse_bytes(const void *bytes, size_t size, struct proxy_header *header) {
  uint8_t *copy = malloc(size ? size : 1);
  assert_non_null(copy);
  memcpy(copy, bytes, size);
  ssize_t status = proxy_header_parse(copy, size, header);
  free(copy);
  return status;
}

static ssize_t parse(const char *text) {
  struct proxy_header header;
  return parse_bytes(text, strlen(text), &header);
}

static void a_header_of_version_1_names_both_addresses(void **state) {
  (void)state;
  struct proxy_header header;
  char text[ADDRESS_TEXT_SIZE];
  static const char line[] = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\nGET /";
  assert_int_equal(parse_bytes(line, sizeof line - 1, &header),
                   strlen("PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"));
  assert_true(header.has_addresses);
  assert_int_equal(header.version, 1);
  assert_string_equal(ip_address_format(&header.source, text), "192.0.2.7");
  assert_int_equal(header.source.port, 56324);
  assert_string_equal(ip_address_format(&header.destination, text), "198.51.100.1");
  assert_int_equal(header.destination.port, 443);
  static const char line6[] = "PROXY TCP6 2001:db8::1 ::1 0 65535\r\n";
  assert_int_equal(parse_bytes(line6, sizeof line6 - 1, &header), sizeof line6 - 1);
  assert_string_equal(ip_address_format(&header.source, text), "2001:db8::1");
}

static void unknown_has_no_addresses(void **state) {
  (void)state;
  struct proxy_header header;
  static const char line[] = "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n";
  assert_int_equal(parse_bytes(line, sizeof line - 1, &header), sizeof line - 1);
  assert_false(header.has_addresses);
  assert_int_equal(parse("PROXY UNKNOWN\r\n"), 15);
}

static void version_1_is_read_strictly(void **state) {
  (void)state;
  static const char *const wrong[] = {
      "PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",
      "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 1\r\n",
      "PROXY TCP4  192.0.2.7 198.51.100.1 56324 443\r\n",
      "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 \r\n",
      "PROXY TCP4 192.0.2.07 198.51.100.1 56324 443\r\n",
      "PROXY TCP4 192.0.2.7 198.51.100.1 056324 443\r\n",
      "PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
      "PROXY TCP4 192.0.2.7 198.51.100.1 -1 443\r\n",
      "PROXY TCP4 2001:db8::1 198.51.100.1 1 443\r\n",
      "PROXY TCP6 192.0.2.7 198.51.100.1 1 443\r\n",
      "PROXY TCP5 192.0.2.7 198.51.100.1 1 443\r\n",
      "PROXY UDP4 192.0.2.7 198.51.100.1 1 443\r\n",
      "PROXY TCP4 192.0.2.7 198.51.100.1 1 443\rX",
      "PROXY TCP4 192.0.2 198.51.100.1 1 443\r\n",
      "PROXY \r\n",
      "PROXY TCP4\r\n",
      "PROXY tcp4 192.0.2.7 198.51.100.1 56324 443\r\n",
      "PROXY TCP4 example.com 198.51.100.1 1 443\r\n",
      "PROXY TCP4 192.0.2.7 198.51.100.1 4294967297 1\r\n",
  };
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
    if (parse(wrong[i]) != PROXY_MALFORMED)
      fail_msg("taken: %s", wrong[i]);
}

static void what_is_no_header_is_absent_at_its_first_wrong_byte(void **state) {
  (void)state;
  assert_int_equal(parse("G"), PROXY_ABSENT);
  assert_int_equal(parse("PROXX"), PROXY_ABSENT);
  assert_int_equal(parse("P"), PROXY_MORE);
  assert_int_equal(parse("PROXY"), PROXY_MORE);
  assert_int_equal(parse("\x16\x03\x01"), PROXY_ABSENT);
  assert_int_equal(parse("\r\n\r\nG"), PROXY_ABSENT);
  assert_int_equal(parse("\r\n\r\n"), PROXY_MORE);
}

static void version_1_ends_within_107_bytes(void **state) {
  (void)state;
  struct proxy_header header;
  char line[128];
  memset(line, 'x', sizeof line);
  memcpy(line, "PROXY UNKNOWN ", 14);
  assert_int_equal(parse_bytes(line, PROXY_V1_MOST - 1, &header), PROXY_MORE);
  assert_int_equal(parse_bytes(line, PROXY_V1_MOST, &header), PROXY_TOO_LONG);
  memcpy(line + PROXY_V1_MOST - 2, "\r\n", 2);
  assert_int_equal(parse_bytes(line, PROXY_V1_MOST, &header), PROXY_V1_MOST);
  assert_int_equal(parse_bytes(line, PROXY_V1_MOST - 1, &header), PROXY_MORE);
  line[PROXY_V1_MOST - 2] = 'x';
  memcpy(line + PROXY_V1_MOST - 1, "\r\n", 2);
  assert_int_equal(parse_bytes(line, PROXY_V1_MOST + 1, &header), PROXY_TOO_LONG);
}

static size_t write_v2(uint8_t *bytes, size_t room, bool with_addresses) {
  struct ip_address source = {.bytes = {[10] = 0xff, 0xff, 192, 0, 2, 7}, .port = 1234, .is_set = with_addresses};
  struct ip_address destination = {
      .bytes = {[10] = 0xff, 0xff, 198, 51, 100, 1}, .port = 443, .is_set = with_addresses};
  struct proxy_writer writer;
  proxy_v2_begin(&writer, bytes, room, &source, &destination);
  proxy_v2_add(&writer, PROXY_TLV_AUTHORITY, "a.example", 9);
  proxy_v2_add(&writer, PROXY_TLV_AWS, "\x01vpce-1", 7);
  return proxy_v2_end(&writer);
}

static void version_2_is_read_back_with_its_tlvs_whatever_arrives_when(void **state) {
  (void)state;
  uint8_t bytes[256];
  struct proxy_header header;
  char text[ADDRESS_TEXT_SIZE];
  size_t size = write_v2(bytes, sizeof bytes, true);
  for (size_t i = 0; i < size; i++)
    assert_int_equal(parse_bytes(bytes, i, &header), PROXY_MORE);
  assert_int_equal(proxy_header_parse(bytes, size, &header), size);
  assert_int_equal(header.version, 2);
  assert_string_equal(ip_address_format(&header.source, text), "192.0.2.7");
  assert_int_equal(header.source.port, 1234);
  struct proxy_tlv tlv;
  size_t at = 0;
  assert_true(proxy_tlv_next(header.tlvs, header.tlvs_size, &at, &tlv));
  assert_int_equal(tlv.type, PROXY_TLV_AUTHORITY);
  assert_memory_equal(tlv.value, "a.example", 9);
  assert_true(proxy_tlv_next(header.tlvs, header.tlvs_size, &at, &tlv));
  assert_int_equal(tlv.type, PROXY_TLV_AWS);
  assert_int_equal(tlv.size, 7);
  assert_false(proxy_tlv_next(header.tlvs, header.tlvs_size, &at, &tlv));
  assert_int_equal(write_v2(bytes, 30, true), 0);
}

static void local_is_taken_and_its_contents_ignored(void **state) {
  (void)state;
  uint8_t bytes[64];
  struct proxy_header header;
  memcpy(bytes, signature, sizeof signature);
  memcpy(bytes + 12, (uint8_t[]){0x20, 0x11, 0, 3, 1, 2, 3}, 7);
  assert_int_equal(parse_bytes(bytes, 19, &header), 19);
  assert_false(header.has_addresses);
  assert_int_equal(header.tlvs_size, 0);
  bytes[13] = 0xff; /* no family, and none is asked for */
  assert_int_equal(parse_bytes(bytes, 19, &header), 19);
  size_t size = write_v2(bytes, sizeof bytes, false);
  assert_int_equal(parse_bytes(bytes, size, &header), size);
  assert_false(header.has_addresses);
}

static ssize_t parse_v2(uint8_t command, uint8_t family, size_t length, const void *body, size_t size) {
  uint8_t bytes[PROXY_MOST + 64] = {0};
  struct proxy_header header;
  memcpy(bytes, signature, sizeof signature);
  bytes[12] = command;
  bytes[13] = family;
  bytes[14] = (uint8_t)(length >> 8);
  bytes[15] = (uint8_t)length;
  if (body)
    memcpy(bytes + 16, body, size);
  return parse_bytes(bytes, 16 + size, &header);
}

static void version_2_is_read_strictly(void **state) {
  (void)state;
  uint8_t body[64] = {0};
  assert_int_equal(parse_v2(0x31, 0x11, 12, body, 12), PROXY_MALFORMED); /* version 3 */
  assert_int_equal(parse_v2(0x22, 0x11, 12, body, 12), PROXY_MALFORMED); /* no such command */
  assert_int_equal(parse_v2(0x21, 0x11, 11, body, 11), PROXY_MALFORMED); /* too short for its addresses */
  assert_int_equal(parse_v2(0x21, 0x21, 35, body, 35), PROXY_MALFORMED);
  assert_int_equal(parse_v2(0x21, 0x11, PROXY_TLVS_MOST + 1, body, 12), PROXY_TOO_LONG);
  memcpy(body + 12, (uint8_t[]){0xea, 0, 2, 'x'}, 4); /* a TLV that overruns */
  assert_int_equal(parse_v2(0x21, 0x11, 16, body, 16), PROXY_MALFORMED);
  assert_int_equal(parse_v2(0x21, 0x11, 14, body, 14), PROXY_MALFORMED); /* half a TLV's head */
  assert_int_equal(parse_v2(0x21, 0x11, 12, body, 12), 28);
}

/* The family is one that nobody knows, or none: what stands behind it is skipped, and the connection is the peer's. */
static void of_a_family_that_is_not_known_nothing_is_taken_but_the_header(void **state) {
  (void)state;
  static const uint8_t families[] = {0x00, 0x01, 0x10, 0x13, 0x20, 0x31, 0x41, 0xff};
  static const uint8_t bodies[][14] = {
      {192, 0, 2, 7, 198, 51, 100, 1, 4, 210, 1, 187}, {0}, {PROXY_TLV_CRC32C, 0, 3, 1, 2, 3}, {5, 0, 9, 1}};
  for (size_t i = 0; i < sizeof families; i++)
    for (size_t j = 0; j < sizeof bodies / sizeof bodies[0]; j++) {
      uint8_t bytes[256] = {0};
      size_t size = 16 + (families[i] == 0x31 ? 216 : sizeof bodies[j]);
      struct proxy_header header;
      memcpy(bytes, signature, sizeof signature);
      memcpy(bytes + 12, (uint8_t[]){0x21, families[i], 0, (uint8_t)(size - 16)}, 4);
      memcpy(bytes + 16, bodies[j], sizeof bodies[j]);
      for (size_t short_of = 0; short_of < size; short_of++)
        assert_int_equal(parse_bytes(bytes, short_of, &header), PROXY_MORE);
      assert_int_equal(proxy_header_parse(bytes, size, &header), size);
      assert_false(header.has_addresses);
      assert_int_equal(header.tlvs_size, 0);
    }
}

static void without_addresses_there_may_be_tlvs(void **state) {
  (void)state;
  uint8_t bytes[16 + 5] = {[12] = 0x21, [13] = 0x00, [15] = 5, [16] = PROXY_TLV_UNIQUE_ID, [18] = 2, 'i', 'd'};
  struct proxy_header header;
  memcpy(bytes, signature, sizeof signature);
  assert_int_equal(proxy_header_parse(bytes, sizeof bytes, &header), sizeof bytes);
  assert_false(header.has_addresses);
  assert_int_equal(header.tlvs_size, 5);
  bytes[16] = PROXY_TLV_CRC32C;
  bytes[18] = 4;
  bytes[15] = 7;
  uint8_t wrong[16 + 7] = {0};
  memcpy(wrong, bytes, sizeof bytes);
  assert_int_equal(parse_bytes(wrong, sizeof wrong, &header), PROXY_BAD_CRC32C);
}

static void a_checksum_is_checked(void **state) {
  (void)state;
  /* The same header twice, with the right checksum and with one bit changed in an address. */
  uint8_t body[19] = {192, 0, 2, 7, 198, 51, 100, 1, 4, 210, 1, 187, PROXY_TLV_CRC32C, 0, 4, 0x4b, 0x5b, 0x89, 0x33};
  assert_int_equal(parse_v2(0x21, 0x11, 19, body, 19), 35);
  body[3] ^= 1;
  assert_int_equal(parse_v2(0x21, 0x11, 19, body, 19), PROXY_BAD_CRC32C);
  memcpy(body + 12, (uint8_t[]){PROXY_TLV_CRC32C, 0, 3}, 3);
  assert_int_equal(parse_v2(0x21, 0x11, 18, body, 18), PROXY_MALFORMED);
}

static void check_written(const char *text, size_t size) {
  assert_int_equal(size, strlen(text));
  assert_int_equal(parse(text), size);
}

static void version_1_is_written_as_it_is_read(void **state) {
  (void)state;
  char text[PROXY_V1_ROOM];
  struct ip_address four = {.bytes = {[10] = 0xff, 0xff, 192, 0, 2, 7}, .port = 65535, .is_set = true};
  struct ip_address six = {.port = 65535, .is_set = true}, none = {.is_set = false};
  memset(six.bytes, 0xfe, sizeof six.bytes);
  check_written(text, proxy_v1_write(text, &four, &four));
  assert_string_equal(text, "PROXY TCP4 192.0.2.7 192.0.2.7 65535 65535\r\n");
  check_written(text, proxy_v1_write(text, &six, &six));
  check_written(text, proxy_v1_write(text, &four, &six));
  assert_non_null(strstr(text, "TCP6 ::ffff:192.0.2.7 "));
  proxy_v1_write(text, &none, &four);
  assert_string_equal(text, "PROXY UNKNOWN\r\n");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_header_of_version_1_names_both_addresses),
      cmocka_unit_test(unknown_has_no_addresses),
      cmocka_unit_test(version_1_is_read_strictly),
      cmocka_unit_test(what_is_no_header_is_absent_at_its_first_wrong_byte),
      cmocka_unit_test(version_1_ends_within_107_bytes),
      cmocka_unit_test(version_2_is_read_back_with_its_tlvs_whatever_arrives_when),
      cmocka_unit_test(local_is_taken_and_its_contents_ignored),
      cmocka_unit_test(version_2_is_read_strictly),
      cmocka_unit_test(of_a_family_that_is_not_known_nothing_is_taken_but_the_header),
      cmocka_unit_test(without_addresses_there_may_be_tlvs),
      cmocka_unit_test(a_checksum_is_checked),
      cmocka_unit_test(version_1_is_written_as_it_is_read),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
