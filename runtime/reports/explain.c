/* SPDX-License-Identifier: MIT
 *
 * The question, from words to what a connection would bring, and the table that it is asked of: the live one, or one
 * that is loaded for it as `moongate check` does. */
#include "reports/explain_private.h"

#include "instance/instance.h"
#include "instance/runtime.h"
#include "threads/ask.h"
#include "threads/loading_apart.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* Which word of the question is none, or what else is in the way: Lua says it. */
static struct value *explain_refuse(struct value *root, int status, const char *error) {
  value_set_number(root, "status", status);
  value_set_string(root, "error", error);
  return root;
}

static bool explain_read_address(struct ip_address *address, const char *text) {
  struct endpoint endpoint;
  if (endpoint_from_literal(&endpoint, text, 0) != 0)
    return false;
  ip_address_from_sockaddr(address, (const struct sockaddr *)&endpoint.storage);
  return true;
}

/* NULL, or the word that is none. */
static const char *read_words(const struct value *words, struct explained *explained) {
  struct route_question *question = &explained->question;
  const char *domain = value_get_text(words, "domain"), *client = value_get_text(words, "client_ip"),
             *address = value_get_text(words, "address"), *version = value_get_text(words, "tls_version");
  question->domain_length = domain ? domain_normalize(explained->domain, domain, strlen(domain)) : 0;
  question->domain = domain ? explained->domain : NULL;
  question->tls_versions = version ? tls_version_from_label(version) : 0;
  explained->limit = (size_t)value_get_number(words, "limit", 0);
  explained->open = (client ? 0U : ROUTE_OPEN_CLIENT_IP) | (version ? 0U : ROUTE_OPEN_TLS_VERSION);
  if (domain && question->domain_length == 0)
    return "domain";
  if (client && !explain_read_address(&question->client, client))
    return "client_ip";
  if (address && !explain_read_address(&explained->address, address))
    return "address";
  return version && !question->tls_versions ? "tls_version" : NULL;
}

static struct ip_address address_at(const struct table_port *port) {
  struct ip_address address;
  ip_address_from_sockaddr(&address, (const struct sockaddr *)&port->endpoint.storage);
  return address;
}

/* Do connections to `wanted` (not set: any) come in here: 0 no, 1 they fall back to it, up to 3 it is the very one. */
static int fitness(const struct table_port *port, const struct ip_address *wanted) {
  static const struct in6_addr any = IN6ADDR_ANY_INIT;
  const struct sockaddr_storage *own = &port->endpoint.storage;
  bool is_ipv6 = own->ss_family == AF_INET6;
  bool is_any = is_ipv6 ? memcmp(&((const struct sockaddr_in6 *)own)->sin6_addr, &any, sizeof any) == 0
                        : ((const struct sockaddr_in *)own)->sin_addr.s_addr == INADDR_ANY;
  char text[ADDRESS_TEXT_SIZE], other[ADDRESS_TEXT_SIZE];
  struct ip_address address = address_at(port);
  if (!wanted->is_set)
    return is_any && is_ipv6 ? 3 : 1;
  if (strcmp(ip_address_format(&address, text), ip_address_format(wanted, other)) == 0)
    return 3;
  return !is_any || (!is_ipv6 && !ip_address_is_ipv4(wanted)) ? 0 : is_ipv6 ? 1 : 2;
}

/* Writes which ports there are, each once. */
static size_t explain_write_ports(struct value *root, const struct route_table *table, const uint16_t *resolved) {
  struct value *ports = value_set_table(root, "ports");
  size_t count = 0;
  for (size_t i = 0; i < table->port_count; i++) {
    uint16_t port = resolved ? resolved[i] : table->ports[i].port;
    if (i > 0 && port == (resolved ? resolved[i - 1] : table->ports[i - 1].port))
      continue;
    value_set_number(ports, NULL, port);
    count++;
  }
  return count;
}

/* Who names a domain or a version speaks TLS, and so does who comes to a port that has nothing else, unless the
 * question says otherwise. */
static bool speaks_tls(const struct value *words, const struct explained *explained) {
  const struct table_port *port = explained->port;
  if (value_get(words, "tls"))
    return value_get_flag(words, "tls");
  return explained->question.domain || explained->question.tls_versions || (port->has_tls && !port->has_plain);
}

/* Of several addresses with this port the one that is asked for, else the one that all others fall back to. */
static const struct table_port *explain_find_port(const struct explained *explained, const struct route_table *table,
                                                  const uint16_t *resolved, int wanted, uint16_t *number) {
  const struct table_port *found = NULL;
  int best = 0;
  for (size_t i = 0; i < table->port_count; i++) {
    uint16_t port = resolved ? resolved[i] : table->ports[i].port;
    int fits = wanted < 0 || wanted == port ? fitness(&table->ports[i], &explained->address) : 0;
    if (fits <= best)
      continue;
    found = &table->ports[i];
    best = fits;
    *number = port;
  }
  return found;
}

/* Where it comes in, when that is not everywhere, and the other addresses that have this port. */
static void write_addresses(struct value *root, const struct explained *explained, const uint16_t *resolved,
                            uint16_t number) {
  const struct route_table *table = explained->table;
  struct value *others = NULL;
  char text[ADDRESS_TEXT_SIZE];
  for (size_t i = 0; i < table->port_count; i++) {
    struct ip_address address = address_at(&table->ports[i]);
    ip_address_format(&address, text);
    if (&table->ports[i] == explained->port) {
      if (strcmp(text, "::") != 0 && strcmp(text, "0.0.0.0") != 0)
        value_set_string(root, "address", text);
    } else if ((resolved ? resolved[i] : table->ports[i].port) == number) {
      others = others ? others : value_set_table(root, "other_addresses");
      value_set_string(others, NULL, text);
    }
  }
}

/* Whether it speaks TLS, what of that the port takes, and whether it had to be assumed where that matters. */
static void write_tls(struct value *root, const struct value *words, const struct explained *explained) {
  const struct table_port *port = explained->port;
  value_set_boolean(root, "tls", explained->question.is_tls);
  value_set_string(root, "takes", table_port_takes(port));
  if (port->has_tls && port->has_plain && !value_get(words, "tls") && !explained->question.tls_versions)
    value_set_boolean(root, "tls_assumed", true);
}

static struct value *explain_table(struct value *root, const struct value *words, struct route_table *table,
                                   const uint16_t *resolved, struct explained *explained) {
  char client[ADDRESS_TEXT_SIZE];
  uint16_t number = 0;
  int wanted = (int)value_get_number(words, "port", -1);
  const char *wrong = read_words(words, explained);
  if (wrong)
    return explain_refuse(root, 400, wrong);
  size_t ports = explain_write_ports(root, table, resolved);
  explained->table = table;
  if (wanted < 0 && ports > 1)
    return explain_refuse(root, 400, "port");
  explained->port = explain_find_port(explained, table, resolved, wanted, &number);
  write_addresses(root, explained, resolved, explained->port ? number : (uint16_t)wanted);
  if (!explained->port)
    return explain_refuse(root, 404, "port");
  explained->question.is_tls = speaks_tls(words, explained);
  value_set_number(root, "port", number);
  value_set_string(root, "domain", explained->question.domain);
  if (explained->question.client.is_set)
    value_set_string(root, "client_ip", ip_address_format(&explained->question.client, client));
  value_set_string(root, "tls_version", value_get_text(words, "tls_version"));
  write_tls(root, words, explained);
  return explain_candidates(root, explained) == 0 ? root : explain_refuse(root, 500, "no memory for the answer");
}

/* Of the files. Faults are told beside the answer, which is about the rest. */
static struct value *explain_files(struct runtime *runtime, const struct value *words, struct value *root) {
  struct config config = {.path = NULL};
  struct config_overrides overrides = {value_get_text(words, "config"), value_get_text(words, "routes"), 0};
  struct fault_list faults = {.count = 0};
  struct loaded_routes loaded = {.file_count = 0};
  struct explained explained = {.clock = &runtime->clock};
  struct error error;
  struct loading loading = {.control = NULL};
  struct loader *loader = loader_new(&runtime->log, runtime->library, &error);
  struct value *found = value_set_table(root, "faults");
  if (!loader || loading_start(&loading, NULL, &runtime->log, loader, &error) != 0) {
    explain_refuse(root, 500, error.message);
  } else if (loading_read_config(&loading, &overrides, false, &config, &faults) != 0) {
    report_faults(found, &faults, NULL);
    explain_refuse(root, 422, "the config has faults");
  } else {
    free(config.state); /* what an earlier run stored is not what the files say */
    config.state = NULL;
    loading.bound_ms = config.limits.load_time_ms;
    loading_load_routes(&loading, &config, 1, NULL, NULL, &loaded);
    report_faults(found, &loaded.faults, NULL);
    struct route_table *table = instance_make_table(NULL, NULL, &loaded, config.policy, &error);
    if (table)
      explain_table(root, words, table, NULL, &explained);
    else
      explain_refuse(root, 422, error.message);
    route_table_unref(table);
    loaded_routes_clear(&loaded);
    config_clear(&config);
  }
  fault_list_clear(&faults);
  runtime->left_behind |= loading_deinit(&loading);
  loader_free(loader);
  return root;
}

struct value *explain_choice(struct runtime *runtime, const struct value *words) {
  struct instance *instance = runtime->instance;
  if (value_get_flag(words, "offline"))
    return explain_files(runtime, words, value_table());
  if (!instance || !instance->table)
    return ask_refusal(503, "moongate is starting or stopping");
  struct explained explained = {.instance = instance, .clock = &runtime->clock};
  return explain_table(value_table(), words, instance->table, instance->resolved, &explained);
}
