/* SPDX-License-Identifier: MIT
 *
 * One option after the other, by its kind. */
#include "reports/options_report.h"

#include "instance/instance.h"
#include "reports/reports.h"

struct value *options_table(struct value *root, const char *key) {
  struct value *table = (struct value *)value_get(root, key);
  return table ? table : value_set_table(root, key);
}

static void write_limit(struct value *table, const char *key, const struct address_limit *limit) {
  if (!limit->is_set)
    return;
  if (limit->window_ms == 0) {
    value_set_number(table, key, limit->count);
    return;
  }
  struct value *told = value_set_table(table, key);
  value_set_number(told, "count", limit->count);
  value_set_number(told, "window", (double)limit->window_ms / 1000);
}

static void write_text(struct value *table, const char *key, const char *text) {
  value_set_string(table, key, text && text[0] ? text : NULL);
}

static void write_texts(struct value *table, const char *key, char *const *texts, size_t count) {
  struct value *list = count > 0 ? value_set_table(table, key) : NULL;
  for (size_t i = 0; i < count; i++)
    value_set_string(list, NULL, texts[i]);
}

static void write_ip_set(struct value *table, const char *key, const struct ip_set *set) {
  struct value *list = set ? value_set_table(table, key) : NULL;
  for (size_t i = 0; set && i < ip_set_count(set); i++)
    value_set_string(list, NULL, ip_set_text(set, i));
}

static void write_keep_alive(struct value *table, const char *key, const struct route_keep_alive *keep_alive) {
  struct value *told = value_set_table(table, key);
  value_set_string(told, "treatment", keep_alive_words[keep_alive->treatment]);
  value_set_number(told, "multiplier", keep_alive->multiplier);
  if (keep_alive->function != ROUTE_NO_FUNCTION)
    value_set_boolean(told, "function", true);
}

static void option_write(struct value *table, const char *key, const struct option *option, const void *at) {
  double unit = option->is_time ? 1000 : 1;
  switch (option->kind) {
  case OPTION_BOOLEAN:
    value_set_boolean(table, key, *(const bool *)at);
    return;
  case OPTION_INTEGER:
    value_set_number(table, key, *(const int *)at / unit);
    return;
  case OPTION_UNSIGNED:
    value_set_number(table, key, *(const unsigned *)at / unit);
    return;
  case OPTION_WIDE:
    value_set_number(table, key, (double)*(const uint64_t *)at / unit);
    return;
  case OPTION_WORD:
    value_set_string(table, key, option->words[*(const unsigned *)at]);
    return;
  case OPTION_SLOT:
    if (*(const int *)at != ROUTE_NO_FUNCTION)
      value_set_boolean(table, key, true);
    return;
  case OPTION_TEXT:
    write_text(table, key, *(const char *const *)at);
    return;
  case OPTION_TEXTS:
    write_texts(table, key, *(char *const *const *)at, *(const size_t *)(const void *)((const char **)at + 1));
    return;
  case OPTION_IP_SET:
    write_ip_set(table, key, *(const struct ip_set *const *)at);
    return;
  case OPTION_LIMIT:
    write_limit(table, key, at);
    return;
  case OPTION_KEEP_ALIVE:
    write_keep_alive(table, key, at);
    return;
  case OPTION_PROXY_SEND:
    if (((const struct route_proxy_send *)at)->version > 0)
      value_set_number(table, key, ((const struct route_proxy_send *)at)->version);
    return;
  }
}

void options_write(struct value *root, const struct options *options, const void *record,
                   bool (*wanted)(const struct option *option)) {
  for (size_t i = 0; i < options->count; i++) {
    const struct option *option = &options->options[i];
    struct value *table = root;
    size_t last = 0;
    if (!wanted(option))
      continue;
    for (; option->keys[last + 1]; last++)
      table = options_table(table, option->keys[last]);
    option_write(table, option->keys[last], option, (const char *)record + option->offset);
  }
}

static bool option_is_told(const struct option *option) { return option->is_told; }

struct value *config_report(const struct instance *instance) {
  struct value *root = value_table();
  value_set_string(root, "path", instance->config.path);
  options_write(root, &config_options, &instance->config, option_is_told);
  options_write(root, &policy_options, instance->config.policy, option_is_told);
  return root;
}
