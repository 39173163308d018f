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

uint64_t text_hash(const void *bytes, size_t size, uint64_t seed) {
  /* The key has 128 bits; both halves come from the one seed. */
  uint64_t key = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
  struct sip s = {seed ^ UINT64_C(0x736f6d6570736575), key ^ UINT64_C(0x646f72616e646f6d),
                  seed ^ UINT64_C(0x6c7967656e657261), key ^ UINT64_C(0x7465646279746573)};
  const uint8_t *at = bytes;
  size_t left = size;
  for (; left >= 8; left -= 8, at += 8) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    sip_take(&s, word);
  }
  uint64_t last = (uint64_t)size << 56;
  for (size_t i = 0; i < left; i++)
    last |= (uint64_t)at[i] << (8 * i);
  sip_take(&s, last);
  s.c ^= 0xff;
  for (int i = 0; i < 3; i++)
    sip_round(&s);
  return s.a ^ s.b ^ s.c ^ s.d;
}
