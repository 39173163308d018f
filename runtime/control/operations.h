/* SPDX-License-Identifier: MIT
 *
 * What "moongate.native" does: the table of functions that the Lua side is handed. Their context is the struct runtime.
 */
#pragma once

#include "native/native.h"

struct runtime;

extern const struct native_ops operations;
