/* SPDX-License-Identifier: MIT
 *
 * Makes ClientHellos for tests, right and wrong ones. */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { HELLO_BYTES = 512 * 1024 };

/* A message, or its bytes in records. */
struct hello_bytes {
  uint8_t bytes[HELLO_BYTES];
  size_t size;
  size_t extensions; /* where their length stands; 0: there are none */
};

static inline void put(struct hello_bytes *out, const void *bytes, size_t size) {
  assert(out->size + size <= HELLO_BYTES);
  memcpy(out->bytes + out->size, bytes, size);
  out->size += size;
}

static inline void put_number(struct hello_bytes *out, uint64_t number, unsigned width) {
  while (width--) {
    uint8_t byte = (uint8_t)(number >> 8 * width);
    put(out, &byte, 1);
  }
}

static inline void set_number(struct hello_bytes *out, size_t place, uint64_t number, unsigned width) {
  while (width--)
    out->bytes[place++] = (uint8_t)(number >> 8 * width);
}

/* The message up to its extensions, which hello_extension() adds. */
static inline void hello_begin(struct hello_bytes *out, unsigned version) {
  static const uint8_t zeros[32];
  out->size = 0;
  put_number(out, 1, 1);
  put_number(out, 0, 3);
  put_number(out, version, 2);
  put(out, zeros, sizeof zeros);
  put_number(out, sizeof zeros, 1);
  put(out, zeros, sizeof zeros);
  put_number(out, 4, 2);
  put_number(out, 0x13011302, 4);
  put_number(out, 1, 1);
  put_number(out, 0, 1);
  out->extensions = 0;
  set_number(out, 1, out->size - 4, 3);
}

static inline void hello_extension(struct hello_bytes *out, unsigned type, const void *bytes, size_t size) {
  if (!out->extensions) {
    out->extensions = out->size;
    put_number(out, 0, 2);
  }
  put_number(out, type, 2);
  put_number(out, size, 2);
  put(out, bytes, size);
  set_number(out, out->extensions, out->size - out->extensions - 2, 2);
  set_number(out, 1, out->size - 4, 3);
}

static inline void hello_name(struct hello_bytes *out, const void *name, size_t size) {
  uint8_t list[1024] = {(uint8_t)((size + 3) >> 8), (uint8_t)(size + 3), 0, (uint8_t)(size >> 8), (uint8_t)size};
  assert(size <= sizeof list - 5);
  memcpy(list + 5, name, size);
  hello_extension(out, 0, list, size + 5);
}

/* `message` in records of at most `size` bytes. */
static inline void hello_records(struct hello_bytes *out, const struct hello_bytes *message, size_t size) {
  out->size = 0;
  for (size_t at = 0; at < message->size; at += size) {
    size_t left = message->size - at, part = left < size ? left : size;
    put_number(out, 0x160301, 3);
    put_number(out, part, 2);
    put(out, message->bytes + at, part);
  }
}
