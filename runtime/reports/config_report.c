/* SPDX-License-Identifier: MIT
 *
 * What the config says, by the declaration of its options. */
#include "instance/instance.h"
#include "reports/reports.h"
#include "routing/option.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_SIZE = 4096 };

/* The table that the option stands in. */
static struct value *find_table(struct value *root, const struct option *option) {
  for (size_t i = 0; option->keys[i + 1]; i++) {
    struct value *within = (struct value *)value_get(root, option->keys[i]);
    root = within ? within : value_set_table(root, option->keys[i]);
  }
  return root;
}

static void write_option(struct value *root, const struct option *option, const void *record) {
  struct value *table = find_table(root, option);
  const char *key = option->path + strlen(option->path);
  char text[TEXT_SIZE];
  while (key > option->path && key[-1] != '.')
    key--;
  option_format(option, record, text, sizeof text);
  if (option->kind == OPTION_BOOLEAN)
    value_set_boolean(table, key, strcmp(text, "true") == 0);
  else if (option->kind == OPTION_WORD || option->kind == OPTION_TEXT)
    value_set_string(table, key, text[0] ? text : NULL);
  else
    value_set_number(table, key, strtod(text, NULL) / (option->is_time ? 1000 : 1));
}

static void write_options(struct value *root, const struct options *options, const void *record) {
  for (size_t i = 0; i < options->count; i++)
    if (options->options[i].is_told)
      write_option(root, &options->options[i], record);
}

struct value *config_report(const struct instance *instance) {
  struct value *root = value_table();
  value_set_string(root, "path", instance->config.path);
  write_options(root, &config_options, &instance->config);
  write_options(root, &policy_options, instance->config.policy);
  return root;
}
