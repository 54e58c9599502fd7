"""A live audit: entries that are served, held against what the database says now."""

from warmer.verify.audit import Audit, Divergence, Report

__all__ = ["Audit", "Divergence", "Report"]
