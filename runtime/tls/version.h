/* SPDX-License-Identifier: MIT
 *
 * The versions of TLS, as bits of a set. */
#pragma once

enum { TLS_1_0 = 1, TLS_1_1 = 2, TLS_1_2 = 4, TLS_1_3 = 8, TLS_ALL = 2 * TLS_1_3 - 1 };

/* The highest of a set, as people write it ("1.3"); NULL of an empty one. */
const char *tls_version_label(unsigned versions);

/* The version with that label; 0: there is none. */
unsigned tls_version_from_label(const char *label);

/* The set that has the highest of `versions` alone. */
unsigned tls_version_highest(unsigned versions);
