/* SPDX-License-Identifier: MIT
 *
 * Options as they are told: by their declaration (routing/option.h), so that no report has a list of its own. */
#pragma once

#include "routing/option.h"
#include "script/value.h"

/* Writes those of a record's options that are `wanted`, each where it stands in a normal form: flags, numbers (times in
 * seconds), words and texts as they are; true for a function. What is not said is left out. Lists are written whole. */
void options_write(struct value *root, const struct options *options, const void *record,
                   bool (*wanted)(const struct option *option));

/* The table within `root` under the key, which is made where there is none. NULL without memory. */
struct value *options_table(struct value *root, const char *key);
