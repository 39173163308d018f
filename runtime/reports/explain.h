/* SPDX-License-Identifier: MIT
 *
 * Why a connection gets the route that it gets: the routes of its port in the order of choice, and for each the clause
 * that turned it down, or why it won. Functions are not run: what depends on one is said to. */
#pragma once

#include "native/native.h"

/* See native_ops.explain; `context` is the struct runtime. */
struct value *explain_choice(void *context, const struct native_explain *question);
