# One image for two environments: dev follows by itself, prod waits for a person when code changes. Configuration goes to both.

variable "registry" {
  type        = string
  default     = "127.0.0.1:5100"
  description = "Where images are pushed. davit registry serve is one."
}

variable "repository" {
  type        = string
  description = "The Git repository of the application."
}

source "git" "app" {
  url    = var.repository
  branch = "main"
}

build "oci" "hello" {
  source     = source.git.app
  context    = "site"
  platforms  = ["linux/amd64", "linux/arm64"]
  repository = "${var.registry}/hello"
  tag        = "1.0.${source.git.app.commit_count}"
}

image "registry" "hello" {
  repository = "${var.registry}/hello"
  builds     = [build.oci.hello]
}

policy "semver" "hello" {
  image = image.registry.hello
  range = ">=1.0.0"
}

application "manifests" "hello" {
  for_each  = toset(["dev", "prod"])
  source    = source.git.app
  path      = "deploy"
  directory = "out/${each.key}"
  namespace = each.key
  images    = { "example/hello" = policy.semver.hello.ref }
}

gate "prod" {
  on            = [application.manifests.hello["prod"]]
  approve       = ["image", "removed"]
  max_deletions = 3

  window {
    schedule  = "2025-12-23 to 2026-01-01"
    time_zone = "Europe/Berlin"
    deny      = true
  }
}
