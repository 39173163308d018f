/* SPDX-License-Identifier: MIT
 *
 * Domains as routes match them: the one form that names and patterns are compared in, and what a pattern takes. In a
 * pattern "*" is any run of characters, dots too and also none, and "?" is any one character: "*.example.com" takes
 * "a.example.com" and "a.b.example.com", but not "example.com". */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { DOMAIN_SIZE = 256 }; /* RFC 1035 section 2.3.4: 255 */

/* Writes the name in lower case (ASCII), without a port behind it and without a trailing dot, and returns its length;
 * no NUL is added. 0: there is none, or it is longer than any name. */
size_t domain_normalize(char text[DOMAIN_SIZE], const char *name, size_t length);

/* Both in that form. The time is bounded by the product of their lengths. */
bool domain_matches(const char *pattern, size_t pattern_length, const char *name, size_t length);

bool domain_is_pattern(const char *text);

enum { DOMAIN_EXACT = 2 * DOMAIN_SIZE };

/* How specific a pattern is: DOMAIN_EXACT for a name, else what its characters count: 2 for one that is spelled out, 1
 * for "?", 0 for "*". */
unsigned domain_specificity(const char *pattern);
