/* SPDX-License-Identifier: MIT
 *
 * What c-ares and the hosts file say of a name, in the form in which it is kept and told. */
#pragma once

#include "names/host_answer.h"

#include <ares.h>
#include <stdbool.h>

/* What c-ares says of a family. `info` may be NULL, and stays the caller's. */
void resolve_answer_from(struct host_answer *answer, enum host_family family, int status,
                         const struct ares_addrinfo *info);

/* The addresses of the hosts file that are of these families, and of localhost. False: there is none. */
bool resolve_result_from(struct resolve_result *result, const union host_address *addresses, unsigned count,
                         unsigned asks);
