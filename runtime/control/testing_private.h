/* SPDX-License-Identifier: MIT
 *
 * What of the functions for specs needs no moongate that runs (testing_match.c). */
#pragma once

#include "native/native.h"

struct value *testing_check(void *context, const struct testing_settings *settings);
struct value *testing_match(void *context, const struct testing_settings *settings,
                            const struct testing_question *question);
