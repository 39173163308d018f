/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a PROXY header: what is said of all of them is said of every beginning too, or "more"; what is taken can
 * be walked and written again. */
#include "net/proxy_protocol.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void check(bool holds) {
  if (!holds)
    abort();
}

static ssize_t parse_copy(const uint8_t *bytes, size_t size) {
  uint8_t *copy = malloc(size ? size : 1);
  struct proxy_header header;
  check(copy != NULL);
  if (size > 0)
    memcpy(copy, bytes, size);
  ssize_t status = proxy_header_parse(copy, size, &header);
  free(copy);
  return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  struct proxy_header header;
  ssize_t status = proxy_header_parse(bytes, size, &header);
  check(status <= (ssize_t)size && status >= PROXY_BAD_CRC32C);
  for (size_t i = 0; i < size && i < 256; i++) {
    ssize_t early = parse_copy(bytes, i);
    check(early == PROXY_MORE || early == status);
  }
  if (status <= 0)
    return 0;
  size_t at = 0;
  struct proxy_tlv tlv;
  while (header.tlvs && proxy_tlv_next(header.tlvs, header.tlvs_size, &at, &tlv))
    check(tlv.value + tlv.size <= bytes + status);
  check(at == header.tlvs_size);
  char line[PROXY_V1_ROOM];
  struct proxy_header again;
  size_t written = proxy_v1_write(line, &header.source, &header.destination);
  check(proxy_header_parse((const uint8_t *)line, written, &again) == (ssize_t)written);
  check(again.has_addresses == header.has_addresses);
  return 0;
}
