//! Synthetic lumbar-spine MRI studies in the layout of the RSNA 2024 competition.
