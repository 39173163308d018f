/* SPDX-License-Identifier: MIT
 *
 * Which client addresses the limits know: what each holds, how fast it comes, and whether it is blocked. Read from the
 * table that the workers share; nothing is changed. */
#pragma once

#include "native/native.h"

/* That are looked at for one answer. */
enum { ADDRESSES_MOST = 262144 };

/* See native_ops.addresses; `context` is the struct runtime. */
struct value *addresses_report(void *context, const struct native_addresses *wanted);
