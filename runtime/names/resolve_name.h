/* SPDX-License-Identifier: MIT
 *
 * The names of hosts: what is one at all, and the form in which it is known. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { RESOLVE_NAME_MAX = 253 + 1 }; /* RFC 1035 section 2.3.4, as text; and a trailing dot */

/* Writes the name in lower case. Its length, or -EINVAL when it is none. */
int resolve_name_normalize(const char *name, char normal[RESOLVE_NAME_MAX + 1]);

/* "localhost" and what is under it (RFC 6761 section 6.3), with or without a trailing dot. A normal name, not empty. */
bool resolve_name_is_localhost(const char *name, size_t size);
