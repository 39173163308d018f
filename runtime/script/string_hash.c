/* SPDX-License-Identifier: MIT
 *
 * What keeps LuaJIT's table of strings quick, whoever chooses the strings. LuaJIT takes a cheap hash first, and from a
 * chain that has become long the strings anew by a second one, which should look at all bytes with a secret. Of the
 * OpenResty branch on x86-64 the second is as bad as the first: CRC32, of which anybody can make strings that collide,
 * and of 128 bytes on it looks at the same few as the first. So 200,000 lines that a client has chosen took a worker
 * minutes, within calls into C that no watchdog sees. There it is a pointer that the library exports, and ours stands
 * in it. (Tables are no matter: LuaJIT finds strings in them by a number that it gives each.) */
#include "core/text.h"
#include "script/state_private.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/random.h>

/* As in lj_str.h of that branch; the first hash is of no use here. */
typedef uint32_t string_hash_fn(uint64_t seed, uint32_t first, const char *bytes, uint32_t size);

static uint64_t secret;

static uint32_t hash_all(uint64_t seed, uint32_t first, const char *bytes, uint32_t size) {
  (void)first;
  return (uint32_t)text_hash(bytes, size, seed ^ secret);
}

/* Where the object stands that `address` is of; NULL. */
static const void *library_of(const void *address) {
  Dl_info info;
  return address != NULL && dladdr(address, &info) != 0 ? info.dli_fbase : NULL;
}

/* A LuaJIT without that pointer has upstream's second hash, which is good. */
static void replace_hash(void) {
  string_hash_fn **hash = dlsym(RTLD_DEFAULT, "hash_dense");
  const void *library = library_of(dlsym(RTLD_DEFAULT, "luaJIT_setmode"));
  if (library == NULL || library_of(hash) != library || dlsym(RTLD_DEFAULT, "str_hash_init_sse42") == NULL)
    return;
  if (getrandom(&secret, sizeof secret, 0) == sizeof secret)
    *hash = hash_all;
}

/* A string that was made before would not be found again, hence before the first state. */
void script_secure_strings(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, replace_hash);
}
