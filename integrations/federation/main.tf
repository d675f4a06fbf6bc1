# The bridge as an identity provider of a Descope project: two custom OAuth providers,
# the user attributes that their claims go to, and the flows that use them. For version
# 1.x of Descope's provider; project-0.x has the same for 0.x.
#
# Written from the provider's documentation. It has not been run: that takes a Descope
# project on a paid plan. Look at the plan before you apply it. SAML of a Descope tenant
# is not in the provider: README.md has the call of the Management API.

terraform {
  required_providers {
    descope = {
      source  = "descope/descope"
      version = "~> 1.0"
    }
  }
}

provider "descope" {
  management_key = var.management_key
}

variable "management_key" {
  type      = string
  sensitive = true
}

variable "project_id" {
  type = string
}

variable "issuer" {
  type        = string
  description = "PUBLIC_URL/federation/TENANT of the bridge, without a slash at its end."
}

variable "proofing_secret" {
  type        = string
  sensitive   = true
  description = "client_secret of descope-proofing, as the bridge has it."
}

variable "liveid_secret" {
  type        = string
  sensitive   = true
  description = "client_secret of descope-liveid, as the bridge has it."
}

resource "descope_user_attribute" "kosmos" {
  for_each = {
    kosmosStatus       = "Kosmos status"
    kosmosIal          = "Kosmos IAL"
    kosmosIalExpiresAt = "Kosmos IAL expires at"
    kosmosVerifiedAt   = "Kosmos verified at"
  }
  project_id = var.project_id
  id         = each.key
  name       = each.value
  type       = "string"
}

resource "descope_oauth_provider" "proofing" {
  project_id             = var.project_id
  id                     = "kosmos-proofing"
  description            = "Identity proofing by 1Kosmos"
  client_id              = "descope-proofing"
  client_secret          = var.proofing_secret
  issuer                 = var.issuer
  authorization_endpoint = "${var.issuer}/authorize"
  token_endpoint         = "${var.issuer}/token"
  user_info_endpoint     = "${var.issuer}/userinfo"
  jwks_endpoint          = "${var.issuer}/jwks"
  scopes                 = ["openid", "identity_assurance"]
  allowed_grant_types    = ["authorization_code"]
  merge_user_accounts    = false # README.md says why
  claim_mapping = {
    loginId            = "sub"
    givenName          = "given_name"
    familyName         = "family_name"
    kosmosStatus       = "idv_status"
    kosmosIal          = "ial_level"
    kosmosIalExpiresAt = "ial_expires_at"
    kosmosVerifiedAt   = "verified_at"
  }
  depends_on = [descope_user_attribute.kosmos]
}

resource "descope_oauth_provider" "liveid" {
  project_id             = var.project_id
  id                     = "kosmos-liveid"
  description            = "Face step-up by 1Kosmos LiveID"
  client_id              = "descope-liveid"
  client_secret          = var.liveid_secret
  issuer                 = var.issuer
  authorization_endpoint = "${var.issuer}/authorize"
  token_endpoint         = "${var.issuer}/token"
  user_info_endpoint     = "${var.issuer}/userinfo"
  jwks_endpoint          = "${var.issuer}/jwks"
  scopes                 = ["openid"]
  prompts                = ["login"]
  allowed_grant_types    = ["authorization_code"]
  merge_user_accounts    = false
  claim_mapping = {
    loginId            = "user_identifier"
    kosmosIal          = "ial_level"
    kosmosIalExpiresAt = "ial_expires_at"
  }
  depends_on = [descope_user_attribute.kosmos]
}

resource "descope_flow" "federated" {
  for_each   = toset(["kosmos-federated-proofing", "kosmos-federated-step-up"])
  project_id = var.project_id
  flow_id    = each.key
  data       = file("${path.module}/../flows/${each.key}.json")
  depends_on = [descope_oauth_provider.proofing, descope_oauth_provider.liveid]
}
