/* SPDX-License-Identifier: MIT
 *
 * The hash is SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012): fast enough for short
 * keys, and made for keys that an attacker chooses. */
#include "core/text.h"

#include <string.h>

struct sip {
  uint64_t a, b, c, d;
};

static uint64_t rotate(uint64_t value, unsigned bits) { return value << bits | value >> (64 - bits); }

static void sip_round(struct sip *s) {
  s->a += s->b;
  s->b = rotate(s->b, 13) ^ s->a;
  s->a = rotate(s->a, 32);
  s->c += s->d;
  s->d = rotate(s->d, 16) ^ s->c;
  s->a += s->d;
  s->d = rotate(s->d, 21) ^ s->a;
  s->c += s->b;
  s->b = rotate(s->b, 17) ^ s->c;
  s->c = rotate(s->c, 32);
}

static void sip_take(struct sip *s, uint64_t word) {
  s->d ^= word;
  sip_round(s);
  s->a ^= word;
}

/* The key has 128 bits; both halves come from the one seed. */
static inline struct sip sip_start(uint64_t seed) {
  uint64_t key = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
  return (struct sip){seed ^ UINT64_C(0x736f6d6570736575), key ^ UINT64_C(0x646f72616e646f6d),
                      seed ^ UINT64_C(0x6c7967656e657261), key ^ UINT64_C(0x7465646279746573)};
}

static inline void sip_take_all(struct sip *s, const uint8_t *at, size_t size) {
  size_t left = size;
  uint64_t word, last = 0;
  for (; left >= 8; left -= 8, at += 8) {
    memcpy(&word, at, sizeof word);
    sip_take(s, word);
  }
  if (size < 8) {
    for (size_t i = 0; i < left; i++)
      last |= (uint64_t)at[i] << (8 * i);
  } else if (left > 0) { /* the last eight bytes, without those that were taken: quicker than one by one */
    memcpy(&last, at + left - 8, sizeof last);
    last >>= 64 - 8 * left;
  }
  sip_take(s, last | (uint64_t)size << 56);
}

static inline uint64_t sip_finish(struct sip *s) {
  for (int i = 0; i < 3; i++)
    sip_round(s);
  return s->a ^ s->b ^ s->c ^ s->d;
}

uint64_t text_hash(const void *bytes, size_t size, uint64_t seed) {
  struct sip s = sip_start(seed);
  sip_take_all(&s, bytes, size);
  s.c ^= 0xff;
  return sip_finish(&s);
}

uint64_t text_hash_wide(const void *bytes, size_t size, uint64_t seed, uint64_t *second) {
  struct sip s = sip_start(seed);
  s.b ^= 0xee;
  sip_take_all(&s, bytes, size);
  s.c ^= 0xee;
  uint64_t first = sip_finish(&s);
  s.b ^= 0xdd;
  *second = sip_finish(&s);
  return first;
}

size_t text_character(const char *at) {
  const unsigned char *byte = (const unsigned char *)at;
  if (byte[0] < 0x80)
    return 1;
  size_t length = byte[0] >= 0xF0 ? 4 : byte[0] >= 0xE0 ? 3 : 2;
  if (byte[0] < 0xC2 || byte[0] > 0xF4)
    return 0;
  for (size_t i = 1; i < length; i++) /* the NUL at the end keeps it from reading on */
    if ((byte[i] & 0xC0) != 0x80)
      return 0;
  bool overlong = (byte[0] == 0xE0 && byte[1] < 0xA0) || (byte[0] == 0xF0 && byte[1] < 0x90);
  bool surrogate = byte[0] == 0xED && byte[1] >= 0xA0;
  bool beyond = byte[0] == 0xF4 && byte[1] >= 0x90;
  return overlong || surrogate || beyond ? 0 : length;
}

uint32_t text_code_point(const char *at, size_t length) {
  static const unsigned char first[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
  uint32_t point = (unsigned char)at[0] & first[length];
  for (size_t i = 1; i < length; i++)
    point = point << 6 | ((unsigned char)at[i] & 0x3F);
  return point;
}

bool text_is_control(const char *at, size_t length) {
  if (length == 0 || length > 3)
    return false;
  uint32_t point = text_code_point(at, length);
  return point < 0x20 || (point >= 0x7F && point < 0xA0) || (point >= 0x2028 && point <= 0x202E) ||
         (point >= 0x2066 && point <= 0x2069);
}

void text_make_printable(char *text) {
  char *to = text;
  while (*text) {
    size_t length = text_character(text);
    if (length == 0 || text_is_control(text, length)) {
      *to++ = '?';
      text += length ? length : 1;
    } else {
      while (length-- > 0)
        *to++ = *text++;
    }
  }
  *to = '\0';
}
