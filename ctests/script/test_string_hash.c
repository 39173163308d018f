/* SPDX-License-Identifier: MIT
 *
 * Strings that a client has made to collide cost no more than others: short ones whose CRC32 is the same whatever it
 * begins with, and long ones that differ where LuaJIT does not look. */
#include "../support/scaling.h"
#include "../support/script_fixture.h"

enum { SHORT = 15, LONG = 1024, BITS = 18, VARIED = 12, FEW = 10 * 1000 };

/* CRC32C of one more word, as the instruction does it: linear in both. */
static uint32_t crc(uint32_t state, uint64_t word) {
  for (int i = 0; i < 64; i++) {
    uint32_t low = (state ^ (uint32_t)(word >> i)) & 1;
    state = state >> 1 ^ (low ? 0x82f63b78u : 0);
  }
  return state;
}

/* What a string of SHORT bytes adds to LuaJIT's hash of it: its first eight bytes, then its last eight. */
static uint32_t hash_short(const unsigned char *bytes) {
  uint64_t first, last;
  memcpy(&first, bytes, sizeof first);
  memcpy(&last, bytes + SHORT - 8, sizeof last);
  return crc(crc(0, first), last);
}

struct difference {
  unsigned char bytes[SHORT];
  uint32_t hash;
};

static void add(struct difference *to, const struct difference *other) {
  for (int i = 0; i < SHORT; i++)
    to->bytes[i] ^= other->bytes[i];
  to->hash ^= other->hash;
}

/* By elimination: of 120 bits 32 are used up, and the others give differences that the hash does not see. */
static void find_differences(struct difference *found, size_t wanted) {
  struct difference pivots[32] = {0};
  size_t count = 0;
  for (int bit = 0; bit < SHORT * 8 && count < wanted; bit++) {
    struct difference one = {0};
    one.bytes[bit / 8] = (unsigned char)(1 << bit % 8);
    one.hash = hash_short(one.bytes);
    for (int i = 31; i >= 0 && one.hash != 0; i--) {
      if ((one.hash >> i & 1) == 0)
        continue;
      if (pivots[i].hash == 0) {
        pivots[i] = one;
        break;
      }
      add(&one, &pivots[i]);
    }
    if (one.hash == 0)
      found[count++] = one;
  }
  assert_int_equal(count, wanted);
}

/* Makes `count` strings, all of which are kept. */
static double keep_short(void *context, size_t count) {
  struct difference found[BITS];
  struct fixture *fixture = context;
  struct script_state *state = fixture_state(fixture, 0, 0);
  lua_State *L = state->L;
  find_differences(found, BITS);
  lua_createtable(L, (int)count, 0);
  double began = scaling_cpu();
  for (size_t i = 0; i < count; i++) {
    struct difference one = {.bytes = "a"};
    for (size_t bit = 0; bit < BITS; bit++)
      if (i >> bit & 1)
        add(&one, &found[bit]);
    lua_pushlstring(L, (const char *)one.bytes, SHORT);
    lua_rawseti(L, -2, (int)i + 1);
  }
  double seconds = scaling_cpu() - began;
  assert_int_equal(lua_objlen(L, -1), count);
  script_state_unref(state);
  return seconds;
}

/* Of each 64 bytes LuaJIT takes eight, where is decided when the process starts: some of these are not looked at. */
static double keep_long(void *context, size_t count) {
  struct fixture *fixture = context;
  struct script_state *state = fixture_state(fixture, 0, 0);
  lua_State *L = state->L;
  double seconds = 0;
  for (size_t offset = 3; offset < 64; offset += 16) {
    char bytes[LONG];
    memset(bytes, 'a', sizeof bytes);
    lua_createtable(L, (int)count, 0);
    double began = scaling_cpu();
    for (size_t i = 0; i < count; i++) {
      for (size_t at = 0; at < VARIED; at++)
        bytes[at * 64 + offset] = (char)('a' + (i >> at * 2 & 3));
      lua_pushlstring(L, bytes, sizeof bytes);
      lua_rawseti(L, -2, (int)i + 1);
    }
    seconds += scaling_cpu() - began;
    lua_pop(L, 1);
    lua_gc(L, LUA_GCCOLLECT, 0);
  }
  script_state_unref(state);
  return seconds;
}

static int setup(void **given) {
  *given = calloc(1, sizeof(struct fixture));
  return *given == NULL;
}

static int teardown(void **given) {
  free(*given);
  return 0;
}

static void short_strings_of_one_hash(void **given) { assert_scales(keep_short, *given, FEW); }
static void long_strings_of_one_hash(void **given) { assert_scales(keep_long, *given, FEW); }

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(short_strings_of_one_hash),
      cmocka_unit_test(long_strings_of_one_hash),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
