/* SPDX-License-Identifier: MIT
 *
 * The names of hosts: what is one at all, and the form in which it is known. It asks nobody (names/resolve.c). */
#include "names/resolve_name.h"

#include <errno.h>
#include <string.h>

enum { LABEL_MAX = 63 }; /* RFC 1035 section 2.3.4 */

/* What c-ares would take for an escape or a service, and what no host is called: clearer here than as an answer of a
 * server. */
static bool is_host_byte(unsigned char byte) { return byte > ' ' && byte != 0x7f && !strchr("\\/:[]@%", byte); }

int resolve_name_normalize(const char *name, char normal[RESOLVE_NAME_MAX + 1]) {
  size_t size = 0, label = 0;
  for (; name[size] != '\0'; size++) {
    unsigned char byte = (unsigned char)name[size];
    if (size >= RESOLVE_NAME_MAX || !is_host_byte(byte))
      return -EINVAL;
    if (byte == '.' && label == 0)
      return -EINVAL;
    label = byte == '.' ? 0 : label + 1;
    if (label > LABEL_MAX)
      return -EINVAL;
    normal[size] = (char)(byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A') : byte);
  }
  if (size == 0 || (size == RESOLVE_NAME_MAX && normal[size - 1] != '.'))
    return -EINVAL;
  normal[size] = '\0';
  return (int)size;
}

bool resolve_name_is_localhost(const char *name, size_t size) {
  static const char localhost[] = "localhost";
  size_t tail = sizeof localhost - 1;
  if (name[size - 1] == '.')
    size--;
  return size >= tail && memcmp(name + size - tail, localhost, tail) == 0 &&
         (size == tail || name[size - tail - 1] == '.');
}
