// SPDX-License-Identifier: Apache-2.0
//
// What a libvirt domain is called in the folder of guests, and so in the controller.
#pragma once

// The domain's own name where that can be a file's and a guest's: letters, digits and ._+@- of
// ASCII, neither . nor - in front, 64 bytes at most, so that a socket's path stays short enough.
// Otherwise what is left of it, cut to 40 bytes, with the first part of the domain's UUID behind
// it, so that no two are the same. New string.
char *domain_guest_name(const char *domain_name, const char *uuid);
